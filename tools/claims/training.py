"""Runs of a study, one after the other, by `train.py`'s own loop."""

import contextlib
import importlib
import json
import pathlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import ml_collections

import train
from configs import schema
from tools.claims import store, studies
from train_lib import cost, setup
from train_lib import task as task_lib


def config_of(
  study: studies.Study, setting: studies.Setting, seed: int
) -> ml_collections.ConfigDict:
  """The config of a run, with only the evaluation that is asked for."""
  path, _, variant = setting.config.partition('.py:')
  module = importlib.import_module(path.replace('/', '.'))
  config = module.get_config(variant)
  evaluation = study.metric.partition('/')[0]
  for name in set(config.evals) - {evaluation}:
    del config.evals[name]
  config.update_from_flattened_dict(
    {'seed': seed, **study.options, **setting.options}
  )
  schema.check(config)
  return config


def command(study: studies.Study, setting: studies.Setting, seed: int) -> str:
  """What trains the same with `train.py`."""
  options = {'seed': seed, **study.options, **setting.options}
  flags = ' '.join(
    f'--config.{key}={str(value).replace(" ", "")}'
    for key, value in options.items()
  )
  return f'python train.py --config={setting.config} {flags} --workdir=DIR'


def missing(
  name: str, study: studies.Study, folder: pathlib.Path = store.RESULTS
) -> Iterator[tuple[str, int]]:
  """(setting, seed) of the runs that no file has, all settings seed by seed."""
  found = store.read(name, folder) or {'runs': []}
  done = {(run['setting'], run['seed']) for run in found['runs']}
  for seed in studies.SEEDS:
    for setting in study.settings:
      if (setting, seed) not in done:
        yield setting, seed


def run(
  name: str,
  study: studies.Study,
  setting: str,
  seed: int,
  folder: pathlib.Path = store.RESULTS,
) -> dict[str, Any] | None:
  """Trains, evaluates and adds the run to the study's file.

  Returns:
    The run; None if a signal stopped it, of which nothing is kept.
  """
  config = config_of(study, study.settings[setting], seed)
  began = time.process_time()
  with tempfile.TemporaryDirectory() as workdir:
    with open(pathlib.Path(workdir, 'log'), 'w') as log:
      with contextlib.redirect_stdout(log):
        state = train.train_and_evaluate(config, workdir)
    if int(state.step) < config.num_steps:
      return None
    rows = pathlib.Path(workdir, 'metrics.jsonl').read_text().splitlines()
  values = {}
  for row in rows:
    values |= json.loads(row)
  probed = {}
  if study.probe:
    probed = {'probe': task_lib.function_named(study.probe)(config, state)}
  done = {
    'setting': setting,
    'seed': seed,
    'value': values[study.metric],
    'training_loss': values['loss'],
    **probed,
    **size(config),
    'command': command(study, study.settings[setting], seed),
    'cpu_seconds': round(time.process_time() - began),
    **store.circumstances(),
  }
  found = store.read(name, folder) or {'metric': study.metric, 'runs': []}
  found['runs'].append(done)
  store.write(name, found, folder)
  jax.clear_caches()
  return done


def size(config: ml_collections.ConfigDict) -> Mapping[str, int]:
  """Parameters, and multiply-adds of a prediction for one example."""
  made = setup.make_setup(config)
  batch = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), made.batch
  )
  variables = made.state.eval_variables
  return {
    'parameters': cost.num_params(variables['params']),
    'multiply_adds': cost.multiply_adds(made.task.predict, variables, batch),
  }
