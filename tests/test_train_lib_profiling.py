"""Steps that are traced, and peaks of memory."""

import types

import pytest

from tests import linear_task
from train import train_and_evaluate
from train_lib import profiling, writer


@pytest.mark.parametrize('text', ['10', '0:3', '4:3', 'a:b', '1:2:3', ''])
def test_what_names_no_steps(text):
  with pytest.raises(ValueError, match='^--profile_steps: found'):
    profiling.steps_of(text)


def test_the_steps_that_are_named_are_traced(tmp_path, monkeypatch):
  """From before the first of them until after the last, and no others."""
  events = []
  monkeypatch.setattr(
    profiling.jax.profiler, 'start_trace', lambda _: events.append('start')
  )
  monkeypatch.setattr(
    profiling.jax.profiler, 'stop_trace', lambda: events.append('stop')
  )
  for start, expected in ((0, [1, 'start', 2, 3, 'stop', 4]), (2, [3, 4])):
    step_fn = profiling.traced(
      lambda state, number: events.append(number),
      '2:3',
      types.SimpleNamespace(num_steps=4),
      str(tmp_path),
    )
    for number in range(start + 1, 5):
      step_fn(types.SimpleNamespace(step=number - 1), number)
    assert events == expected
    events.clear()


def test_steps_that_a_run_does_not_have():
  with pytest.raises(ValueError, match='3:9; expected steps .* ends at 6'):
    profiling.traced(
      lambda *_: None, '3:9', types.SimpleNamespace(num_steps=6), ''
    )


@pytest.mark.full
def test_a_run_writes_a_trace(tmp_path, capsys):
  config = linear_task.get_config()
  train_and_evaluate(config, str(tmp_path), profile_steps='2:4')
  assert list(tmp_path.glob('profile/**/*.xplane.pb'))
  assert 'Peak memory in GiB: host' in capsys.readouterr().out


@pytest.mark.parametrize(
  'peaks, expected', [((None, None), {}), ((2**29, 2**31), {'device': 2.0})]
)
def test_peaks_of_memory(monkeypatch, peaks, expected):
  """In GiB, of the fullest device; CPUs tell none."""
  devices = [
    types.SimpleNamespace(
      memory_stats=lambda x=x: None if x is None else {'peak_bytes_in_use': x}
    )
    for x in peaks
  ]
  monkeypatch.setattr(profiling.jax, 'local_devices', lambda: devices)
  used = types.SimpleNamespace(ru_maxrss=3 * 2**20)  # KiB
  monkeypatch.setattr(
    profiling,
    'resource',
    types.SimpleNamespace(getrusage=lambda _: used, RUSAGE_SELF=0),
  )
  assert profiling.peak_memory() == {'host': 3.0} | expected


def test_waiting_for_data_is_said_once(monkeypatch, capsys):
  """Of 1 s a step, 0.5 s are waited for data."""
  now = 0.0
  monkeypatch.setattr(
    writer, 'time', types.SimpleNamespace(monotonic=lambda: now)
  )
  progress = writer.Progress(0, 4, 8)

  def batches():
    nonlocal now
    while True:
      now += 0.5
      yield None

  for step, _ in progress.steps(batches(), 4):
    now += 0.5
    rates = progress.report(step, {})
    assert rates['step_seconds'] == 1.0 and rates['data_seconds'] == 0.5
  assert step == 4
  said = capsys.readouterr().out
  assert said.count('0.5 s are spent waiting for data') == 1
