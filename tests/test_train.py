"""The loop end to end, in processes of their own as a user starts them.

One configuration, PaCa-ViT on real digits, run on one, four and eight fake
devices, unbroken, killed and preempted: all must tell the same story.
"""

import json
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from tests.processes import ROOT, environment
from train_lib import digests, interruption, weights

pytestmark = pytest.mark.full

CONFIG = 'configs/paca_vit/mnist5k.py:tiny'
NUM_STEPS = 12


def start(workdir, *flags, devices=1, program='train.py', config=CONFIG):
  return subprocess.Popen(
    [
      sys.executable,
      program,
      f'--config={config}',
      f'--workdir={workdir}',
      *flags,
    ],
    cwd=ROOT,
    env=environment(devices),
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def finish(process, code=0):
  output, _ = process.communicate(timeout=600)
  assert process.returncode == code, output[-3000:]
  return output


def rows(workdir):
  path = pathlib.Path(workdir) / 'metrics.jsonl'
  lines = path.read_text().splitlines() if path.exists() else []
  return [json.loads(line) for line in lines if line.endswith('}')]


def losses(workdir):
  return {row['step']: row['loss'] for row in rows(workdir) if 'loss' in row}


def evaluations(workdir):
  return {row['step']: row for row in rows(workdir) if 'test/accuracy' in row}


def wait_for_step(workdir, step, process):
  while process.poll() is None and step not in losses(workdir):
    time.sleep(0.02)


def params(workdir, step=NUM_STEPS):
  path = pathlib.Path(workdir) / 'checkpoints' / str(step)
  flat = {}
  tree = ocp.load_checkpointables(path)
  for key, value in jax.tree_util.tree_flatten_with_path(tree)[0]:
    flat[jax.tree_util.keystr(key)] = np.asarray(value)
  return flat


def saved_steps(workdir):
  folder = pathlib.Path(workdir) / 'checkpoints'
  return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('unbroken')
  finish(start(workdir))
  return workdir


def assert_same_end(workdir, reference):
  ours, theirs = params(workdir), params(reference)
  assert ours.keys() == theirs.keys()
  for name, value in theirs.items():
    np.testing.assert_array_equal(ours[name], value, err_msg=name)
  assert losses(workdir) == losses(reference)
  assert evaluations(workdir) == evaluations(reference)


def test_keeps_the_last_checkpoints_and_the_best(unbroken):
  assert saved_steps(unbroken) == [9, 12]
  assert len(list((unbroken / 'best').iterdir())) == 1


def test_killed_run_ends_bit_identical(unbroken, tmp_path):
  step = random.randint(1, NUM_STEPS - 1)
  process = start(tmp_path)
  wait_for_step(tmp_path, step, process)
  process.kill()
  process.communicate()
  # What has its digests counts, and nothing that was still being saved.
  folder = tmp_path / 'checkpoints'
  finished = folder.exists() and [
    step for step in saved_steps(tmp_path) if digests.are_in(folder / str(step))
  ]
  output = finish(start(tmp_path))
  if finished:
    assert f'Resuming at step {finished[-1]}' in output
  assert_same_end(tmp_path, unbroken)


def test_preempted_run_saves_first(unbroken, tmp_path):
  process = start(tmp_path)
  wait_for_step(tmp_path, 4, process)
  process.send_signal(signal.SIGTERM)
  output = finish(process, interruption.EXIT_CODE)
  last = max(losses(tmp_path))
  assert f'SIGTERM: step {last} is saved' in output
  assert saved_steps(tmp_path)[-1] == last
  output = finish(start(tmp_path))
  assert f'Resuming at step {last}' in output
  assert_same_end(tmp_path, unbroken)


def mesh_flags(**axes):
  return [f'--config.mesh.{name}={size}' for name, size in axes.items()]


def gradients(workdir):
  """Their norms: Adam's losses do not tell a gradient from its double."""
  return {r['step']: r['grad_norm'] for r in rows(workdir) if 'loss' in r}


def assert_same_losses_and_metrics(workdir, reference):
  for found, rtol in ((losses, 1e-5), (gradients, 1e-4)):
    ours, theirs = found(workdir), found(reference)
    assert ours.keys() == theirs.keys()
    np.testing.assert_allclose(
      list(ours.values()), list(theirs.values()), rtol=rtol
    )
  ours, theirs = evaluations(workdir), evaluations(reference)
  assert ours.keys() == theirs.keys()
  for step, row in theirs.items():
    for name, value in row.items():
      np.testing.assert_allclose(ours[step][name], value, rtol=1e-4)


@pytest.mark.parametrize(
  'devices, axes',
  [
    (4, dict(fsdp=2)),
    (8, dict(data=2, tensor=2, inputs=2)),
    (8, dict(data=1, fsdp=2, tensor=2, inputs=2)),
  ],
)
def test_same_losses_and_metrics_on_more_devices(
  unbroken, tmp_path, devices, axes
):
  finish(start(tmp_path, *mesh_flags(**axes), devices=devices))
  assert_same_losses_and_metrics(tmp_path, unbroken)


def test_perceiver_over_every_axis_is_that_of_one_device(tmp_path):
  config = 'configs/perceiver_io/mnist5k.py:tiny'
  axes = mesh_flags(data=1, fsdp=2, tensor=2, inputs=2)
  scan = '--config.model.encoder.scan_layers=True'
  finish(start(tmp_path / 'one', scan, config=config))
  finish(start(tmp_path / 'eight', *axes, scan, devices=8, config=config))
  assert_same_losses_and_metrics(tmp_path / 'eight', tmp_path / 'one')


def test_continues_on_another_mesh(unbroken, tmp_path):
  shutil.copytree(unbroken, tmp_path / 'run')
  shutil.rmtree(tmp_path / 'run' / 'checkpoints' / str(NUM_STEPS))
  output = finish(start(tmp_path / 'run', '--config.mesh.fsdp=4', devices=8))
  assert 'Resuming at step 9' in output
  ours, theirs = losses(tmp_path / 'run'), losses(unbroken)
  assert ours.keys() == theirs.keys()
  np.testing.assert_allclose(
    list(ours.values()), list(theirs.values()), rtol=1e-5
  )


def test_eval_prints_what_training_found(unbroken):
  output = finish(start(unbroken, program='eval.py'))
  row = evaluations(unbroken)[NUM_STEPS]
  for name in ('test/accuracy', 'test/loss'):
    assert f'{name}: {row[name]:.6g}' in output


def test_metrics_do_not_depend_on_the_evaluation_batch(unbroken):
  output = finish(
    start(unbroken, '--config.evals.test.data.batch_size=96', program='eval.py')
  )
  row = evaluations(unbroken)[NUM_STEPS]
  assert f'test/accuracy: {row["test/accuracy"]:.6g}' in output


@pytest.mark.parametrize(
  'flag, message',
  [
    ('--config.optim.nope=1', "--config has no option .*'nope'"),
    ('--config.num_steps=many', '--config.num_steps=many: invalid literal'),
  ],
)
def test_wrong_options_are_named(tmp_path, flag, message):
  process = start(tmp_path / 'run', flag)
  output, _ = process.communicate(timeout=600)
  assert process.returncode != 0
  assert re.search(message, output) and 'Traceback' not in output
  assert not (tmp_path / 'run').exists()


LINEAR = 'tests/linear_task.py'


def start_many(workdir, *flags, num_processes=2, of_the_last=()):
  """Processes with four devices in all, parameters split over all."""
  with socket.socket() as s:
    s.bind(('localhost', 0))
    port = s.getsockname()[1]
  return [
    start(
      workdir,
      f'--coordinator_address=localhost:{port}',
      f'--num_processes={num_processes}',
      f'--process_id={i}',
      '--config.mesh.fsdp=4',
      *flags,
      *(of_the_last if i == num_processes - 1 else ()),
      devices=4 // num_processes,
      config=LINEAR,
    )
    for i in range(num_processes)
  ]


def test_two_and_four_processes_tell_the_story_of_one(tmp_path):
  """Two run to the end; from step 4 on, four do what was left to do."""
  one, two, four = (tmp_path / name for name in ('one', 'two', 'four'))
  for process in start_many(two):
    finish(process)
  finish(start(one, config=LINEAR))
  assert_same_losses_and_metrics(two, one)

  shutil.copytree(two, four)
  shutil.rmtree(four / 'checkpoints' / '6')
  outputs = [finish(p) for p in start_many(four, num_processes=4)]
  assert 'Resuming at step 4' in outputs[0]
  # The same losses are those of the same examples, none twice, none skipped.
  assert_same_losses_and_metrics(four, one)
  variables = [weights.read_variables(path) for path in (one, two, four)]
  for other in variables[1:]:
    jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6),
      other,
      variables[0],
    )


def test_preempting_one_process_stops_both_at_one_step(tmp_path):
  processes = start_many(tmp_path, '--config.num_steps=100000')
  wait_for_step(tmp_path, 3, processes[0])
  processes[1].send_signal(signal.SIGTERM)
  outputs = [finish(process, interruption.EXIT_CODE) for process in processes]
  step = saved_steps(tmp_path)[-1]
  assert f'SIGTERM: step {step} is saved' in outputs[0]


def test_the_death_of_one_process_ends_the_other(tmp_path):
  processes = start_many(tmp_path, '--config.num_steps=100000')
  wait_for_step(tmp_path, 3, processes[0])
  killed = time.monotonic()
  processes[1].kill()
  output, _ = processes[0].communicate(timeout=600)
  assert time.monotonic() - killed < 60
  assert processes[0].returncode != 0
  assert 'another task died' in output


def test_processes_that_differ_end_and_say_how(tmp_path):
  """One with another rate, which would train on with a mixture of both."""
  processes = start_many(
    tmp_path, of_the_last=['--config.optim.schedule.lr=0.5']
  )
  first, second = (p.communicate(timeout=120)[0] for p in processes)
  assert all(p.returncode not in (0, 75) for p in processes)
  assert 'config.optim.schedule.lr: found 0.5; expected' in second
  assert 'config: processes 1 differ from this one' in first
  assert not list(tmp_path.glob('checkpoints/*'))
