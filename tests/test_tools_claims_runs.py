"""Studies of claims: what they change, and runs that go into files."""

import functools
import json
import math
import os
import pathlib
import signal
import tempfile
import threading
import time

import jax
import numpy as np
import pytest

from configs.perceiver_io import optical_flow
from tests import golden_paca
from tools.claims import (
  clusters,
  store,
  studies,
  training,
)
from train_lib.task import make_task


@pytest.mark.full
def test_queries_of_positions_alone_do_not_see_the_frames():
  def queries(make, frames):
    config = optical_flow.get_config('tiny')
    config.task.make_model = make
    model = make_task(config).model
    shapes = jax.eval_shape(model.init, jax.random.key(0), frames)
    _, found = jax.jit(
      functools.partial(
        model.apply,
        capture_intermediates=lambda module, _: module.name == 'queries',
      )
    )(golden_paca.random_variables(shapes), frames)
    return found['intermediates']['queries']['__call__'][0]

  rng = np.random.default_rng(0)
  frames = rng.standard_normal((2, 1, 2, 48, 64, 3)).astype('f')
  alone = [
    queries('tools.claims.position_queries.make_flow', x) for x in frames
  ]
  both = [queries('perceiver_io.models.conv_optical_flow', x) for x in frames]
  assert alone[0].shape[:2] == both[0].shape[:2] == (1, 12 * 16)
  np.testing.assert_array_equal(*alone)
  # The positions come last.
  width = alone[0].shape[-1]
  np.testing.assert_array_equal(both[0][..., -width:], alone[0])
  assert not np.array_equal(both[0], both[1])


@pytest.mark.parametrize('name', studies.STUDIES)
def test_settings_differ_only_in_what_they_name(name):
  study = studies.STUDIES[name]
  for setting in study.settings.values():
    config = training.config_of(study, setting, seed=2)
    assert config.seed == 2
    assert list(config.evals) == [study.metric.partition('/')[0]]
    assert config.num_steps == study.options['num_steps']
    command = training.command(study, setting, seed=2)
    assert f'--config={setting.config} ' in command
    for key in (*study.options, *setting.options):
      assert f' --config.{key}=' in command
    assert pathlib.Path(store.ROOT, setting.config.partition(':')[0]).exists()


def test_information_is_of_clusters_and_labels_together():
  labels = np.array([0, 0, 1, 1, 2, 2])
  assert clusters.information(labels[::-1].copy(), labels) == pytest.approx(1)
  assert clusters.information(labels + 1, labels) == pytest.approx(1)
  assert clusters.information(np.zeros(6, int), labels) == pytest.approx(0)
  halves = np.array([0, 1, 0, 1, 0, 1])
  assert clusters.information(halves, labels) == pytest.approx(0)
  # Tells one of three labels from the two others: 0.918 of 1.585 bits.
  one = (labels == 0).astype(int)
  expected = (math.log2(3) - 2 / 3) / math.log2(3)
  assert clusters.information(one, labels) == pytest.approx(expected)


def test_labels_of_parts_are_their_most_frequent():
  labels = np.zeros((4, 6), int)
  labels[:, 2:] = 1
  labels[0, 2] = labels[3, 5] = 2
  np.testing.assert_array_equal(
    clusters.majority(labels, (2, 3)), [[0, 1, 1], [0, 1, 1]]
  )
  # The rim goes on: a last column of which one pixel in two is there.
  rim = clusters.majority(labels[:, :5], (2, 3))
  np.testing.assert_array_equal(rim, [[0, 1, 1], [0, 1, 1]])


def shortened(name, **options):
  """A study of invented examples and two steps."""
  study = studies.STUDIES[name]
  evaluation = study.metric.partition('/')[0]
  few = {
    'num_steps': 2,
    'optim.schedule.warmup_steps': 1,
    f'evals.{evaluation}.every_steps': 2,
    'checkpoint.every_steps': 2,
    'data.source': 'synthetic',
  }
  return study._replace(options={**study.options, **few, **options})


# A study of each config.
OF_A_CONFIG = {
  next(iter(study.settings.values())).config.partition(':')[0]: name
  for name, study in studies.STUDIES.items()
}


@pytest.mark.full
@pytest.mark.parametrize('name', OF_A_CONFIG.values())
def test_a_run_is_added_to_its_file(name, tmp_path):
  study = shortened(name)
  setting = next(iter(study.settings))
  done = training.run(name, study, setting, 1, tmp_path)
  assert math.isfinite(done['value']) and done['multiply_adds'] > 0
  (kept,) = json.loads((tmp_path / f'{name}.json').read_text())['runs']
  assert kept == done and (kept['setting'], kept['seed']) == (setting, 1)
  if study.probe:
    assert all(-1e-9 <= x <= 1 for x in kept['probe'].values())


@pytest.mark.full
def test_of_a_run_that_is_stopped_nothing_is_kept(tmp_path, monkeypatch):
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'runs'))
  (tmp_path / 'runs').mkdir()

  def stop_when_it_trains():
    while not any(
      path.stat().st_size for path in tmp_path.glob('runs/*/metrics.jsonl')
    ):
      time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)

  study = shortened('permuted', **{'num_steps': 10**6, 'log_every_steps': 1})
  threading.Thread(target=stop_when_it_trains, daemon=True).start()
  folder = tmp_path / 'results'
  assert training.run('permuted', study, 'convolution', 0, folder) is None
  assert not folder.exists() and not any((tmp_path / 'runs').iterdir())
  assert ('convolution', 0) in training.missing('permuted', study, folder)
