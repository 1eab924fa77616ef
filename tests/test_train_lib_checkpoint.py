"""Checkpoints: damage is found, the one before is taken, NaN is not kept."""

import pathlib
import random

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from train_lib import checkpoint, digests, sharding, stored, weights
from train_lib.train_state import TrainState

WEIGHT = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)


def state(step, value=1.0):
  return TrainState(
    step=jnp.int32(step),
    params={'w': jnp.asarray(value * WEIGHT)},
    model_state={},
    opt_state={'mu': {'w': jnp.zeros((64, 8))}},
  )


def abstract():
  return abstract_of(state(0))


def abstract_of(made):
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), made
  )


def save(workdir, *steps, keep_last=2):
  checkpoints = checkpoint.Checkpoints(str(workdir), keep_last)
  for step in steps:
    checkpoints.save(state(step, step), {'next_batch': step})
  checkpoints.close()


def restore(workdir):
  checkpoints = checkpoint.Checkpoints(str(workdir), 2)
  try:
    return checkpoints.restore(abstract())
  finally:
    checkpoints.close()


def files(folder):
  return sorted(p for p in pathlib.Path(folder).rglob('*') if p.is_file())


def flip(path, rng):
  data = bytearray(path.read_bytes())
  data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
  path.write_bytes(data)


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """The files of a run with two checkpoints: name -> bytes."""
  workdir = tmp_path_factory.mktemp('run')
  save(workdir, 1, 2)
  return {p.relative_to(workdir): p.read_bytes() for p in files(workdir)}


def put(saved, workdir):
  for name, data in saved.items():
    (workdir / name).parent.mkdir(parents=True, exist_ok=True)
    (workdir / name).write_bytes(data)


@pytest.mark.parametrize('seed', range(6))
def test_a_flipped_bit_makes_the_one_before_count(
  saved, tmp_path, seed, capsys
):
  put(saved, tmp_path)
  rng = random.Random(seed)
  newest = [p for p in files(tmp_path / 'checkpoints/2') if p.stat().st_size]
  flip(rng.choice(newest), rng)
  restored, data = restore(tmp_path)
  assert int(restored.step) == data['next_batch'] == 1
  np.testing.assert_array_equal(restored.params['w'], WEIGHT)
  assert 'falling back' in capsys.readouterr().out
  assert (tmp_path / 'corrupt/2').exists()


def test_damage_everywhere_is_an_error(saved, tmp_path):
  put(saved, tmp_path)
  rng = random.Random(7)
  for step in '1', '2':
    flip(
      max(
        files(tmp_path / 'checkpoints' / step), key=lambda p: p.stat().st_size
      ),
      rng,
    )
  with pytest.raises(RuntimeError, match='none of the checkpoints'):
    restore(tmp_path)


@pytest.mark.parametrize('has_average', [False, True])
def test_an_evaluation_reads_what_it_computes_with(
  tmp_path, monkeypatch, has_average
):
  """The average of the parameters if there is one, and no moments."""
  made = state(3)
  if has_average:
    made.opt_state['params_ema'] = {'w': made.params['w'] / 2}
  checkpoints = checkpoint.Checkpoints(str(tmp_path), 1)
  checkpoints.save(made, {'next_batch': 3})
  checkpoints.close()

  read = []
  load_checkpointables = stored.ocp.load_checkpointables

  def noting(path, wanted):
    leaves = jax.tree_util.tree_flatten_with_path(wanted)[0]
    read.extend(sharding.path_name(p) for p, x in leaves if x is not ...)
    return load_checkpointables(path, wanted)

  monkeypatch.setattr(stored.ocp, 'load_checkpointables', noting)
  loaded = stored.load_state(str(tmp_path), abstract_of(made), best=False)
  assert int(loaded.step) == 3 and loaded.opt_state == ()
  np.testing.assert_array_equal(
    loaded.eval_variables['params']['w'], WEIGHT / 2 if has_average else WEIGHT
  )
  moving = {'optimizer/opt_state/params_ema/w'} if has_average else set()
  assert set(read) == {'variables/params/w', 'optimizer/step'} | moving


def test_damage_is_found_by_whoever_reads(saved, tmp_path):
  put(saved, tmp_path)
  largest = max(
    files(tmp_path / 'checkpoints/2/variables'), key=lambda p: p.stat().st_size
  )
  flip(largest, random.Random(1))
  variables = {'params': state(0).params}
  with pytest.raises(
    digests.DamagedError, match=f'^config.init_from.*{largest}'
  ):
    weights.load_variables(str(tmp_path), variables, ())
  with pytest.raises(digests.DamagedError, match=f'^--checkpoint.*{largest}'):
    weights.read_variables(str(tmp_path))
  loaded = stored.load_state(str(tmp_path), abstract(), best=False)
  assert int(loaded.step) == 1  # and it says so; nothing is moved
  assert not (tmp_path / 'corrupt').exists()


def test_a_save_that_was_cut_off_does_not_count(saved, tmp_path):
  put(saved, tmp_path)
  (tmp_path / 'checkpoints/2' / digests.NAME).unlink()
  restored, _ = restore(tmp_path)
  assert int(restored.step) == 1


def test_imported_weights_have_digests_too(tmp_path):
  variables = {'params': state(0, 3.0).params}
  weights.save_variables(str(tmp_path / 'imported'), variables)
  loaded = weights.load_variables(
    str(tmp_path / 'imported'), {'params': state(0).params}, ()
  )
  np.testing.assert_array_equal(loaded['params']['w'], 3 * WEIGHT)
  assert digests.are_in(tmp_path / 'imported')


def test_one_is_kept_until_the_next_is_whole(tmp_path):
  save(tmp_path, 1, 2, 3, keep_last=1)
  kept = sorted(p.name for p in (tmp_path / 'checkpoints').iterdir())
  assert kept == ['2', '3']


@pytest.mark.parametrize('where', ['params', 'opt_state'])
@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_state_that_is_not_finite_is_not_saved(tmp_path, where, value):
  save(tmp_path, 1)
  checkpoints = checkpoint.Checkpoints(str(tmp_path), 2)
  wrong = state(2)
  tree = wrong.params if where == 'params' else wrong.opt_state['mu']
  tree['w'] = tree['w'].at[3, 2].set(value)
  name = 'params/w' if where == 'params' else 'opt_state/mu/w'
  with pytest.raises(FloatingPointError, match=f'step 2 .*first in {name}'):
    checkpoints.save(wrong, {'next_batch': 2})
  checkpoints.close()
  restored, _ = restore(tmp_path)
  assert int(restored.step) == 1


def save_bests(workdir, *values, start=1):
  checkpoints = checkpoint.Checkpoints(str(workdir), 2)
  config = ml_collections.ConfigDict(
    {'best_metric': 'test/accuracy', 'best_mode': 'max'}
  )
  for step, value in enumerate(values, start):
    results = {'test/accuracy': value, 'test/loss': 1.0}
    checkpoints.save_best(state(step), results, config)
  checkpoints.close()


def best_step(workdir):
  return int(stored.load_state(str(workdir), abstract(), best=True).step)


def test_nan_is_never_the_best(tmp_path):
  save_bests(tmp_path, np.nan, 0.5, np.nan, 0.4, 0.6, np.inf)
  assert best_step(tmp_path) == 5


def test_a_misspelt_metric_is_named_with_those_there_are(tmp_path):
  checkpoints = checkpoint.Checkpoints(str(tmp_path), 2)
  config = ml_collections.ConfigDict(
    {'best_metric': 'test/acuracy', 'best_mode': 'max'}
  )
  checkpoints.save_best(state(1), {'other/accuracy': 0.5}, config)
  expected = r"^config.checkpoint.best_metric: .*acuracy'.*'test/accuracy'"
  with pytest.raises(ValueError, match=expected):
    checkpoints.save_best(state(1), {'test/accuracy': 0.5}, config)
  checkpoints.close()


def test_a_damaged_best_is_set_aside(tmp_path, capsys):
  save_bests(tmp_path, 0.5, 0.6)
  for path in files(tmp_path / 'best/2/metrics'):
    path.write_bytes(b'{')
  save_bests(tmp_path, 0.55, start=3)
  assert 'best/2' in capsys.readouterr().out
  assert best_step(tmp_path) == 3


def test_a_full_disk_is_named(tmp_path, monkeypatch):
  save(tmp_path, 1)
  checkpoints = checkpoint.Checkpoints(str(tmp_path), 2)
  checkpoints.save(state(2), {'next_batch': 2})

  def full(path):
    raise OSError(28, 'No space left on device')

  checkpoints._wait()
  monkeypatch.setattr(digests, 'write', full)
  checkpoints.save(state(3), {'next_batch': 3})
  with pytest.raises(checkpoint.SaveError, match='3.*No space.*is step 2'):
    checkpoints.close()


@pytest.mark.parametrize(
  'error, expected',
  [
    (
      ValueError(
        'RESOURCE_EXHAUSTED: Failed writing: "/a/b": Failed to write 65471 '
        "bytes to file 4: No space left on device [os_error_code='28']"
      ),
      'No space left on device',
    ),
    (OSError(122, 'Disk quota exceeded'), 'Disk quota exceeded'),
    (ValueError('shapes differ'), None),
  ],
)
def test_storage_is_told_from_faults(error, expected):
  assert checkpoint._storages_reason(error, in_bucket=False) == expected


def test_what_may_not_be_read_is_not_moved(saved, tmp_path, monkeypatch):
  put(saved, tmp_path)

  def denied(path):
    raise PermissionError(13, 'Permission denied')

  monkeypatch.setattr(digests, 'verify', denied)
  with pytest.raises(PermissionError, match='--workdir: .* may not be read'):
    restore(tmp_path)
  assert (tmp_path / 'checkpoints/2').exists()


def test_checkpoints_from_before_there_were_digests(saved, tmp_path, capsys):
  put(saved, tmp_path)
  for step in '1', '2':
    (tmp_path / 'checkpoints' / step / digests.NAME).unlink()
  restored, _ = restore(tmp_path)
  assert int(restored.step) == 2
  assert 'has no digests' in capsys.readouterr().out


def test_what_resuming_needs_beside_is_written_before_it_counts(tmp_path):
  path, seen = tmp_path / 'checkpoints/1', []

  def write():
    seen.append((path.exists(), digests.are_in(path)))
    if len(seen) > 1:
      raise OSError('no answer')

  checkpoints = checkpoint.Checkpoints(str(tmp_path), 2, write)
  for step in 1, 2:
    checkpoints.save(state(step), {'next_batch': step})
  with pytest.raises(
    checkpoint.SaveError, match='/2 cannot .*no answer.*step 1'
  ):
    checkpoints.close()
  assert seen == [(True, False), (True, True)]
  assert not digests.are_in(tmp_path / 'checkpoints/2')


def test_a_run_that_has_lost_its_workdir_saves_no_more(tmp_path):
  checkpoints = checkpoint.Checkpoints(str(tmp_path), 2)
  checkpoints._lock._lost = True
  with pytest.raises(ValueError, match='^--workdir: .*taken over'):
    checkpoints.save(state(1), {'next_batch': 1})
  checkpoints.close()
  assert not (tmp_path / 'checkpoints/1').exists()
