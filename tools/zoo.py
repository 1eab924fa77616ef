"""Trained models that come with the repository, in results/zoo/.

  python -m tools.zoo                            lists them
  python -m tools.zoo --model=digits_on_photos   prints a workdir of one

A folder is a model: what `tools.export --format=safetensors` writes, with
parameters of 16 bits and a card, and run/, the config and the classes of the
run. Opening one makes a workdir of it, once, for `predict.py --model=NAME` and
whatever else takes a --workdir; `tools.zoo_entry` makes a model's folder.
"""

import hashlib
import os
import pathlib
import shutil
import tempfile
from typing import Any

import ml_collections
import numpy as np
from absl import app, flags

from train_lib import run_files, runtime, strict_json, weights

MODEL = flags.DEFINE_string(
  'model', None, 'One that comes with the repository: python -m tools.zoo.'
)
ZOO = pathlib.Path(__file__).parent.parent / 'results' / 'zoo'
CACHE = '~/.cache/perceiver-paca/zoo'
WEIGHTS, RUN, ABOUT = 'model.safetensors', 'run', 'model.json'


def names() -> list[str]:
  """Of the models, sorted."""
  return sorted(path.parent.name for path in ZOO.glob(f'*/{WEIGHTS}'))


def folder(name: str) -> pathlib.Path:
  """A model's.

  Raises:
    ValueError: there is no such model.
  """
  if name not in names():
    raise ValueError(f'--model: found {name!r}, expected one of {names()}.')
  return ZOO / name


def about(name: str) -> dict[str, Any]:
  """What model.json holds, see `tools.export.describe`."""
  return strict_json.loads((folder(name) / ABOUT).read_text())


def workdir(name: str) -> str:
  """A workdir of the model, made when it is first asked for.

  Raises:
    ValueError: there is no such model.
  """
  source = folder(name)
  digest = hashlib.sha256(name.encode())
  for path in sorted(source.rglob('*')):
    if path.is_file():
      digest.update(path.read_bytes())
  parent = pathlib.Path(CACHE).expanduser()
  # Pages show the last name.
  made = parent / digest.hexdigest()[:12] / name
  if not made.exists():
    made.parent.mkdir(parents=True, exist_ok=True)
    new = tempfile.mkdtemp(prefix=f'.{name}-', dir=parent)
    try:
      open_into(source, new, str(made / 'weights'))
      os.replace(new, made)
    except OSError:
      if not made.exists():  # Else another process was faster.
        raise
    finally:
      shutil.rmtree(new, ignore_errors=True)
  return str(made)


def open_into(source: pathlib.Path, new: str, path: str) -> None:
  """Makes a folder of a model a workdir.

  Args:
    source: of the model.
    new: the workdir, an empty folder.
    path: where `new`/weights will lie when all is done.
  """
  run = str(source / RUN)
  config = run_files.read_config(run).copy_and_resolve_references()
  config.unlock()
  config.init_from.path, config.init_from.exclude = path, ()
  variables = read(source / WEIGHTS, config)
  weights.save_variables(os.path.join(new, 'weights'), variables)
  run_files.write(
    new,
    config.lock(),
    run_files.read_classes(run),
    run_files.read_file_name(run),
  )


def read(path: pathlib.Path, config: ml_collections.ConfigDict) -> Any:
  """Variables of a file that `tools.export.card` wrote, in float32.

  Args:
    path: of the file.
    config: of the run.

  Raises:
    ValueError: it is damaged, or of another model.
  """
  # Both families' tables of names, which predict.py needs for this alone.
  import flax

  from perceiver_paca.weights import files
  from tools import convert_weights

  tensors = {
    name: x if x.dtype.kind in 'biu' else x.astype(np.float32)
    for name, x in files.load(str(path)).items()
  }
  expected = convert_weights.variables_of(config, tensors)
  own = flax.traverse_util.flatten_dict(expected, sep='/')
  if own.keys() == tensors.keys():
    return flax.traverse_util.unflatten_dict(tensors, sep='/')
  naming = convert_weights.NAMINGS[convert_weights.naming_of(tensors)]
  return naming.import_(tensors, expected, False)


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  if MODEL.value is not None:
    runtime.initialize()
    print(workdir(MODEL.value))
    return
  for name in names():
    found = about(name)
    figures = found['figures']['metrics']
    shown = found.get('shown') or sorted(figures)[:1]
    told = ', '.join(f'{key} {figures[key]:.3g}' for key in shown)
    print(f'{name:24} {told}')


if __name__ == '__main__':
  runtime.run(main)
