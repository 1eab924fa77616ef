"""Runs to export: workdirs with weights that nobody trained."""

import jax
import numpy as np

from tests import golden_paca
from tools import convert_weights
from train_lib import run_files, weights


def make_run(folder, config, classes=None, names=()):
  """A workdir of a config on invented data, as of imported weights.

  Args:
    folder: pathlib.Path of a new folder.
    config: of a run; changed.
    classes: names.
    names: of variables, see `made_up.example`.
  """
  config.unlock()
  config.data.source = 'synthetic'
  config, found = run_files.derived(config)
  config.unlock()
  folder.mkdir(parents=True, exist_ok=True)
  path = str(folder / 'weights')
  config.init_from.path = path
  shapes = convert_weights.variables_of(config, names)
  weights.save_variables(
    path,
    jax.tree.map(np.asarray, golden_paca.random_variables(shapes)),
  )
  run_files.write(str(folder), config, classes or found, 'a config')
  return str(folder)
