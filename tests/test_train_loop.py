"""The loop in this process, on a linear model: what goes wrong, and how."""

import json
import pathlib

import jax
import numpy as np
import pytest

import eval as evaluation
import train
from tests import linear_task
from train_lib import stored


@pytest.fixture
def config():
  return linear_task.get_config()


def run(config, workdir):
  return train.train_and_evaluate(config, str(workdir))


def scalars(workdir):
  lines = (pathlib.Path(workdir) / 'metrics.jsonl').read_text().splitlines()
  return [json.loads(line) for line in lines]


def break_checkpoint(workdir, step):
  path = pathlib.Path(workdir) / 'checkpoints' / str(step)
  files = [f for f in path.rglob('d/*') if f.is_file()]
  assert files
  for file in files:
    file.write_bytes(b'x')


def test_learns_and_evaluates(config, tmp_path):
  config.num_steps = 30
  run(config, tmp_path)
  results = [r for r in scalars(tmp_path) if 'test/accuracy' in r]
  assert results[-1]['test/accuracy'] > 0.9 > results[0]['test/accuracy']
  printed = evaluation.run_evaluators(config, str(tmp_path), best=False)
  for name, value in printed.items():
    assert results[-1][name] == value


def test_accumulation_gives_the_same_run(config, tmp_path):
  whole = run(config, tmp_path / 'whole')
  config.optim.num_microbatches = 4
  parts = run(config, tmp_path / 'parts')
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
    whole.params,
    parts.params,
  )


def test_evaluation_uses_the_moving_average(config, tmp_path):
  config.optim.ema_decay = 0.9
  state = run(config, tmp_path)
  ema, raw = state.eval_variables['params'], state.params
  assert np.abs(ema['kernel'] - raw['kernel']).max() > 1e-4


def test_loss_that_is_not_finite_stops_with_its_step(config, tmp_path):
  config.model.poison = 3.0
  with pytest.raises(FloatingPointError, match='loss of step 4 is nan'):
    run(config, tmp_path)
  steps = [r['step'] for r in scalars(tmp_path) if 'loss' in r]
  assert steps == [1, 2, 3]
  assert {p.name for p in (tmp_path / 'checkpoints').iterdir()} == {'2'}


def test_unreadable_checkpoint_falls_back_to_the_one_before(
  config, tmp_path, capsys
):
  reference = run(config, tmp_path)
  break_checkpoint(tmp_path, 6)
  state = run(config, tmp_path)
  output = capsys.readouterr().out
  assert 'checkpoints/6 cannot be read' in output
  assert 'Resuming at step 4' in output
  assert (tmp_path / 'corrupt' / '6').exists()
  jax.tree.map(np.testing.assert_array_equal, state.params, reference.params)


def test_no_readable_checkpoint_is_an_error(config, tmp_path):
  run(config, tmp_path)
  break_checkpoint(tmp_path, 4)
  break_checkpoint(tmp_path, 6)
  with pytest.raises(RuntimeError, match='none of the checkpoints'):
    run(config, tmp_path)


def test_checkpoint_of_another_architecture(config, tmp_path):
  run(config, tmp_path)
  config.model.num_classes = 12
  with pytest.raises(stored.CheckpointMismatchError) as error:
    run(config, tmp_path)
  message = str(error.value)
  assert 'params/kernel: (784, 10) there, (784, 12) here' in message
  with pytest.raises(stored.CheckpointMismatchError):
    evaluation.run_evaluators(config, str(tmp_path), best=False)
  assert (tmp_path / 'checkpoints' / '6').exists()


def test_init_from_loads_all_but_what_is_excluded(config, tmp_path):
  source = run(config, tmp_path / 'source')
  config.init_from.path = str(tmp_path / 'source')
  config.optim.schedule.lr = 1e-12
  config.optim.ema_decay = 0.5
  state = run(config, tmp_path / 'all')
  np.testing.assert_allclose(
    state.params['kernel'], source.params['kernel'], atol=1e-8
  )
  ema = state.eval_variables['params']
  np.testing.assert_allclose(ema['kernel'], source.params['kernel'], atol=1e-8)

  config.model.num_classes = 12
  with pytest.raises(stored.CheckpointMismatchError, match='784, 12'):
    run(config, tmp_path / 'other')
  config.init_from.exclude = ('params/', 'head')
  with pytest.raises(ValueError, match="init_from.exclude: found 'head'"):
    run(config, tmp_path / 'nothing')
  config.init_from.exclude = ('params/', 'stats')
  assert run(config, tmp_path / 'none').params['kernel'].shape == (784, 12)


def test_eval_takes_init_from_without_checkpoints(config, tmp_path):
  run(config, tmp_path / 'source')
  expected = evaluation.run_evaluators(
    config, str(tmp_path / 'source'), best=False
  )
  config.init_from.path = str(tmp_path / 'source' / 'checkpoints' / '6')
  got = evaluation.run_evaluators(config, str(tmp_path / 'none'), best=False)
  assert got == expected
  assert not (tmp_path / 'none').exists()


def test_evaluating_needs_no_training_set(config, tmp_path):
  run(config, tmp_path / 'source')
  expected = evaluation.run_evaluators(
    config, str(tmp_path / 'source'), best=False
  )
  config.evals.test.data.update(source='synthetic', data_dir=None)
  config.data.update(source='real', split='none', data_dir='/proc/none')
  got = evaluation.run_evaluators(config, str(tmp_path / 'source'), best=False)
  assert got == expected
  config.init_from.path = str(tmp_path / 'source')
  got = evaluation.run_evaluators(config, str(tmp_path / 'none'), best=False)
  assert got == expected
  with pytest.raises(Exception, match='/proc/none'):
    run(config, tmp_path / 'new')


def test_best_checkpoint_is_the_best(config, tmp_path):
  config.optim.schedule.lr = 0.5  # wild enough to have ups and downs
  config.optim.schedule.decay = 'constant'
  config.num_steps = 15
  run(config, tmp_path)
  results = [r for r in scalars(tmp_path) if 'test/accuracy' in r]
  best = max(r['test/accuracy'] for r in results)
  got = evaluation.run_evaluators(config, str(tmp_path), best=True)
  assert got['test/accuracy'] == best


@pytest.mark.parametrize(
  'change, message',
  [
    (dict(mesh=dict(data=3)), 'config.mesh.*does not fit 8 device'),
    (
      dict(task=dict(module='paca_vit.tasks.classfication')),
      'config.task.module: no module',
    ),
    (dict(data=dict(batch_size=100)), 'batch_size.*multiple of 8.*found 100'),
    (dict(data=dict(source='disk')), "source.*'real'.*found 'disk'"),
    (dict(init_from=dict(path='/nowhere')), 'init_from.path.*/nowhere'),
    (dict(optim=dict(num_microbatches=5)), 'num_microbatches: 5 .*batch of 64'),
    (dict(optim=dict(decay_exclude=('norm',))), 'decay_exclude.*norm.*such as'),
    (dict(optim=dict(lr_multipliers=(('x$', 2.0),))), "lr_multipliers.*'x"),
    (dict(checkpoint=dict(best_metric='test/acc')), "best_metric.*'test/acc'"),
    (dict(data=dict(split='none', source='real')), '^config.data: .*none'),
  ],
)
def test_bad_config_is_named_before_any_work(config, tmp_path, change, message):
  config.update(change)
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    run(config, tmp_path / 'run')
  metrics = tmp_path / 'run' / 'metrics.jsonl'
  assert not metrics.exists() or not metrics.read_text()


def test_workdir_that_cannot_be_written(config):
  with pytest.raises(ValueError, match='--workdir: /proc/run cannot be'):
    run(config, '/proc/run')


def test_nothing_to_evaluate(config, tmp_path):
  with pytest.raises(FileNotFoundError, match='there is no checkpoint in'):
    evaluation.run_evaluators(config, str(tmp_path), best=False)
