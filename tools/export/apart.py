"""Writes encoder and decoder as two files, runs them, compares with the model.

Besides each file against its half, the answers to all queries, put together by
the program that comes with them, are set beside the whole model's prediction.
"""

import pathlib
from typing import Any

import numpy as np

from tools.export import check, describe, formats, halves, parts, program
from tools.export.run import Exportable, scale

NAMES = ('encoder', 'decoder')


def export(
  exportable: Exportable,
  name: str,
  folder: pathlib.Path,
  about: dict[str, Any],
  num_queries: int,
) -> dict[str, dict]:
  """Writes both files, model.json and predict.py.

  Args:
    exportable: the run.
    name: of the format.
    folder: that exists.
    about: see `describe.describe`.
    num_queries: that the decoder answers at a time.

  Returns:
    What was measured of 'encoder' and 'decoder', see `check.check`.

  Raises:
    ValueError: the model has no queries to ask, or a file differs.
  """
  format_, split = formats.FORMATS[name], halves.split(exportable, num_queries)
  measured, files, is_free = {}, [], True
  for which, half in zip(NAMES, (split.encoder, split.decoder), strict=True):
    path = folder / f'{which}{pathlib.Path(format_.file).suffix}'
    free = format_.write(path, half)
    measured[which] = check.check(half, format_, path, free)
    files.append(path.name)
    is_free = is_free and free
  about = {
    'format': name,
    'file': files,
    'batch': 'any' if is_free else 1,
    **about,
    'encoded': list(split.encoder.inputs),
    'asked': list(split.asked),
    'queries': num_queries,
    'answers': split.answers,
    'check': measured,
  }
  about['grids'] = _grids(exportable, about)
  about['inputs'] = {k: v for k, v in about['inputs'].items() if k != 'label'}
  given = set(split.asked) - set(split.encoder.outputs)
  for key in sorted(given):
    x = split.whole[key]
    about['inputs'][key] = dict(shape=['any', *x.shape[2:]], type=str(x.dtype))
  _compare([format_.load(folder / file) for file in files], split, about)
  describe.save(folder / 'model.json', about)
  (folder / 'predict.py').write_text(program.source(format_, about))
  return measured


def _grids(exportable, about) -> dict[str, list[int]]:
  """Shapes of outputs that `predict.py` tells as pictures."""
  if about['tells'] != 'tell_flow':
    return {}
  return {'flow': list(exportable.outputs['flow'].shape[1:])}


def _compare(functions, split, about) -> None:
  """Raises DifferenceError if the files together are not the model."""
  inputs = {**split.encoder.inputs, **{k: split.whole[k] for k in split.asked}}
  found = parts.answers(*functions, inputs, about | {'grids': {}})
  for name in split.decoder.outputs:
    want = np.asarray(split.whole[name], np.float64)
    largest, of = np.abs(found[name] - want).max(), scale(want)
    if not largest <= check.MAX_DIFFERENCE * of:
      raise check.DifferenceError(
        f'--format: {name} of encoder and decoder differs from the model by '
        f'{largest:.2g}; expected at most {check.MAX_DIFFERENCE} of its scale, '
        f'{of:.3g}.'
      )
