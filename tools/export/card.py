"""Weights as safetensors under published names, and a card that tells of them.

Where nobody published such a model, tensors have this library's own names,
'params/head/kernel'.
"""

import pathlib
from typing import Any

import flax
import jax
import numpy as np

from paca_vit import names as paca_names
from paca_vit.detection import names as detection_names
from perceiver_io import names as perceiver_names
from perceiver_paca.weights import files
from tools.export import describe, hub
from tools.export.run import Exportable

FORMAT = 'safetensors'
FILE = 'model.safetensors'
# Families' tables of names, by how a task's module begins.
_TABLES = (
  ('paca_vit.tasks.detection', detection_names.to_state_dict),
  ('paca_vit.', paca_names.to_state_dict),
  ('perceiver_io.', perceiver_names.to_hugging_face),
)
_WHOSE = {
  detection_names.to_state_dict: "PaCa-ViT's authors' (mmdetection)",
  paca_names.to_state_dict: "PaCa-ViT's authors'",
  perceiver_names.to_hugging_face: "Hugging Face's",
}


def named(exportable: Exportable) -> tuple[dict[str, np.ndarray], str]:
  """Name -> tensor, and whose names they are."""
  module, variables = exportable.config.task.module, exportable.variables
  for prefix, export in _TABLES:
    if module.startswith(prefix):
      try:
        return export(variables), _WHOSE[export]
      except ValueError:  # A part that no published model has.
        break
  flat = flax.traverse_util.flatten_dict(variables, sep='/')
  return flat, "this library's own"


def write(
  exportable: Exportable,
  folder: pathlib.Path,
  about: dict[str, Any],
  workdir: str,
) -> str:
  """Writes the weights, model.json and README.md; reads the weights again.

  Args:
    exportable: the run.
    folder: that exists.
    about: see `describe.describe`.
    workdir: the run's.

  Returns:
    What to print.

  Raises:
    RuntimeError: what is read is not what was written.
  """
  tensors, whose = named(exportable)
  tensors = {k: np.asarray(x) for k, x in tensors.items()}
  path = folder / FILE
  files.save_safetensors(str(path), tensors)
  again = files.load(str(path))
  if again.keys() != tensors.keys() or not all(
    np.array_equal(x, again[k]) for k, x in tensors.items()
  ):
    raise RuntimeError(f'{path}: reads otherwise than it was written.')
  about = {'format': FORMAT, 'file': FILE, **about, 'names': whose}
  reader = hub.write_config(exportable, folder, about['labels'])
  about['transformers'] = reader
  describe.save(folder / 'model.json', about)
  (folder / 'README.md').write_text(text(exportable, about, workdir))
  return (
    f'{path.stat().st_size / 2**20:.2f} MiB, {len(tensors)} tensors under '
    f'{whose} names, read back and compared'
    + (f'; transformers.{reader} loads it' if reader else '')
  )


def text(exportable: Exportable, about: dict[str, Any], workdir: str) -> str:
  """The model card, in Markdown with the hub's header."""
  config = exportable.config
  count = sum(x.size for x in jax.tree.leaves(exportable.variables['params']))
  name = pathlib.Path(workdir).resolve().name
  labels, reader = about['labels'], about.get('transformers')
  lines = [
    '---',
    f'library_name: {"transformers" if reader else "perceiver-paca"}',
    'tags: [jax, flax]',
    '---',
    '',
    f'# {name}',
    '',
    f'{count:,} parameters of `{about["task"]}`, trained on `{about["data"]}` '
    f'for {config.num_steps:,} steps of {config.data.batch_size}.',
    *(['', about['note']] if about.get('note') else []),
    '',
    '## Figures',
    '',
    *_figures(about),
    '',
    '## Use',
    '',
    f'`{FILE}` has the tensors under {about["names"]} names; `model.json` says '
    'what goes in.',
    *([f'`transformers.{reader}` loads this folder.'] if reader else []),
    *([f'Classes: {", ".join(labels)}.'] if labels else []),
    '',
    '## Licence',
    '',
    f'Of the weights: {about["licence"]}.',
  ]
  return '\n'.join(lines) + '\n'


def _figures(about):
  """A table, those that are to be shown first, and where they come from."""
  metrics = about['figures'].get('metrics', {})
  if not metrics:
    return ['None: the run was not evaluated.']
  first = [x for x in about.get('shown', ()) if x in metrics]
  order = [*first, *sorted(metrics.keys() - set(first))]
  lines = ['| metric | value |', '|---|---|']
  lines += [f'| {key} | {metrics[key]:.4g} |' for key in order]
  command = about['figures'].get('command')
  if command:
    lines += ['', f'Measured on {about["figures"]["date"]} by', '',
              f'    {command}']  # fmt: skip
  return lines
