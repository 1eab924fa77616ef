"""Encoder and decoder apart are the model; arrays in a run's own shapes."""

import jax
import numpy as np
import pytest

from configs.perceiver_io import arrays, kinetics, optical_flow
from tests.exported_runs import make_run
from tools.export import describe, halves, parts, run
from train_lib import run_files


def of_places(folder, **queries):
  """A run of three channels at places of two dimensions, asked at others."""
  rng = np.random.default_rng(0)
  data = dict(
    x=rng.normal(3, 2, (40, 9, 3)), coordinates=rng.uniform(5, 9, (40, 9, 2))
  )
  y = rng.normal(size=(40, 6))
  np.savez(folder / 'own.npz', **data, **queries, y=y)
  config = arrays.get_config('tiny')
  config.data.data_dir = str(folder / 'own.npz')
  config, _ = run_files.derived(config)
  return config


def load(config, folder, names=(), **options):
  workdir = make_run(folder, config, names=names)
  return run.load(run_files.read_config(workdir), workdir, **options), workdir


def asked(folder):
  queries = np.random.default_rng(1).uniform(5, 9, (40, 6, 2))
  config = of_places(folder, queries=queries)
  return load(config, folder / 'run', names=['params/queries/kernel'])[0]


def flow(folder):
  config = optical_flow.get_config('tiny')
  config.task.make_model = 'perceiver_io.models.optical_flow'
  config.model.patch_size = 3
  del config.model.batch_norm
  return load(config, folder)[0]


def autoencoder(folder):
  return load(kinetics.get_config('tiny'), folder)[0]


def ran(half):
  """As a runtime would."""
  function = jax.jit(half.predict)
  return lambda inputs: jax.device_get(function(inputs))


@pytest.mark.parametrize(
  'make, number',
  [
    (asked, 7),
    pytest.param(flow, 999, marks=pytest.mark.full),
    pytest.param(autoencoder, 100, marks=pytest.mark.full),
  ],
  ids=['arrays', 'flow', 'autoencoding'],
)
def test_answers_of_some_at_a_time_are_the_models(make, number, tmp_path):
  exportable = make(tmp_path)
  split = halves.split(exportable, number)
  assert not set(split.decoder.inputs) & set(split.encoder.inputs)
  for name in split.asked:
    assert split.decoder.inputs[name].shape[1] == number
  about = dict(
    encoded=list(split.encoder.inputs),
    asked=split.asked,
    queries=number,
    answers=split.answers,
    grids={},
  )
  given = {**split.encoder.inputs, **{k: split.whole[k] for k in split.asked}}
  found = parts.answers(ran(split.encoder), ran(split.decoder), given, about)
  for name in split.decoder.outputs:
    assert np.abs(split.whole[name]).max() > 1e-3
    np.testing.assert_allclose(found[name], split.whole[name], atol=1e-5)


def test_models_without_queries_are_refused(tmp_path):
  exportable, _ = load(of_places(tmp_path), tmp_path / 'b')
  with pytest.raises(ValueError, match='--queries: found a model that is not'):
    halves.split(exportable, 3)
  config = exportable.config.copy_and_resolve_references()
  with config.unlocked():
    config.task.module = 'perceiver_io.tasks.classification'
  with pytest.raises(ValueError, match='--queries: found a run of perceiver'):
    halves.split(exportable._replace(config=config), 3)


def test_arrays_are_exported_in_the_runs_shapes(tmp_path):
  """Of channels and dimensions other than a made-up data set has."""
  exportable, workdir = load(of_places(tmp_path), tmp_path / 'run', size=(12,))
  assert {k: x.shape for k, x in exportable.inputs.items()} == dict(
    x=(1, 12, 3), coordinates=(1, 12, 2), input_mask=(1, 12)
  )
  about = describe.describe(exportable, workdir, None)
  assert about['reads'] == 'read_places'
  with np.load(tmp_path / 'own.npz') as data:
    example = {k: data[k][0] for k in ('x', 'coordinates')}
  np.savez(tmp_path / 'one.npz', **example)
  ((_, found),) = parts.read_places([tmp_path / 'one.npz'], about)
  config = run_files.read_config(workdir)
  from data.arrays import arrays as arrays_data

  expected = arrays_data.preprocess(
    example | {'mask': np.ones(9)},
    train=False,
    rng=None,
    **config.data.preprocess,
  )
  for name, x in expected.items():
    np.testing.assert_allclose(found[name][:9], x, atol=1e-6)
    assert not found[name][9:].any()
