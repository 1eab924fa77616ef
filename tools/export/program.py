"""Composes the `predict.py` of an exported model from the parts it needs."""

import inspect
from typing import Any

from tools.export import parts
from tools.export.formats import Format

# Of pictures: how they are resized, what they become; of others nothing.
_HELPERS = {
  'read_pictures': ('normalised',),
  'read_frames': ('normalised',),
  'read_canvas': ('normalised',),
}
_USAGE = {
  'read_pictures': 'PICTURE ...',
  'read_canvas': 'PICTURE ...',
  'read_frames': 'FIRST_PICTURE SECOND_PICTURE',
  'read_text': 'TEXT [SECOND_TEXT]',
  'read_arrays': 'ARRAYS.npz ...',
  'read_places': 'ARRAYS.npz ...',
}


def source(format_: Format, description: dict[str, Any]) -> str:
  """Of a program that needs numpy, Pillow and the runtime.

  Args:
    format_: of the model's file.
    description: see `describe.describe`.
  """
  reads, tells = description['reads'], description['tells']
  resize = description.get('picture', {}).get('resize')
  names = [resize] if resize else []
  names += [*_HELPERS.get(reads, ()), reads, tells, format_.load.__name__]
  apart = 'asked' in description
  names += ['answers'] if apart else []
  code = '\n\n'.join(inspect.getsource(getattr(parts, name)) for name in names)
  imports = [f'import {name}' for name in ('json', 'pathlib', 'sys')]
  pillow = [x for x in ('Image', 'ImageOps') if f'{x}.' in code]
  libraries = ['import numpy as np']
  if pillow:
    libraries.append(f'from PIL import {", ".join(pillow)}')
  lines = [
    f'"""python predict.py {_USAGE[reads]}',
    '',
    f'It needs numpy, Pillow and {format_.runtime}.',
    '"""',
    '',
    *imports,
    '',
    *libraries,
    '',
    '',
    code,
    '',
    "if __name__ == '__main__':",
    '  here = pathlib.Path(__file__).parent',
    "  model = json.loads((here / 'model.json').read_text())",
    *_loaded(format_, description, apart),
    f'  found = {reads}(sys.argv[1:], model{f", {resize}" if resize else ""})',
    '  for name, inputs in found:',
    '    inputs = {key: np.asarray(x)[None] for key, x in inputs.items()}',
    '    outputs = {key: x[0] for key, x in predict(inputs).items()}',
    f'    {tells}(name, outputs, model)',
  ]
  return '\n'.join(lines) + '\n'


def _loaded(format_, description, apart):
  """Lines that make `predict` of the file, or of two."""
  load = format_.load.__name__
  if not apart:
    return [f"  predict = {load}(here / '{format_.file}')"]
  encoder, decoder = description['file']
  return [
    f"  encode = {load}(here / '{encoder}')",
    f"  decode = {load}(here / '{decoder}')",
    '  predict = lambda inputs: answers(encode, decode, inputs, model)',
  ]
