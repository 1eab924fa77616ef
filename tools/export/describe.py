"""model.json: what a program needs to know of an exported model.

How a picture becomes the model's input is found out, not written down twice:
mean and deviation are those that the run's own `preprocess` gives black and
white pictures, and a rule of resizing is named only if it gives what the run's
`predict.py` gives.
"""

import importlib
import inspect
import io
import json
import math
import os
import pathlib
import tempfile
from typing import Any

import numpy as np
import PIL.Image

from data.flow import flow
from data.language import tokenizer
from tools import made_up
from tools.export import parts
from tools.export.run import Exportable
from train_lib import places, prediction, run_files, strict_json

_PICTURES = ('image', 'frame1', 'frame2')  # in raw examples
_LICENCE = 'not stated: whoever trained the model, and the data, have the say'


def describe(
  exportable: Exportable, workdir: str, licence: str | None
) -> dict[str, Any]:
  """All of model.json but what the file's check measured.

  `reads` and `tells` are the names of the functions of `parts`; `picture` or
  `text` what the former need to know.
  """
  config = exportable.config
  found = {
    'task': config.task.module,
    'inputs': {
      name: {'shape': list(x.shape[1:]), 'type': str(x.dtype)}
      for name, x in exportable.inputs.items()
    },
    'outputs': list(exportable.outputs),
    'labels': run_files.read_classes(workdir),
    'licence': licence or _LICENCE,
    'figures': _figures(workdir),
    'data': config.data.module,
  }
  return found | _program(exportable, workdir)


def _program(exportable, workdir) -> dict[str, Any]:
  """How inputs are read and outputs told; as arrays where there is no rule."""
  config, inputs = exportable.config, exportable.inputs
  arrays = dict(reads='read_arrays', tells='tell_arrays')
  tells = _teller(exportable.outputs)
  options = config.data.preprocess
  if config.data.module == made_up.ARRAYS:
    names = 'mean', 'std', 'low', 'high'
    rule = {k: np.asarray(options[k]).tolist() for k in names}
    if tells != 'tell_classes':  # Of places each has its own classes.
      tells = 'tell_arrays'
    return dict(reads='read_places', tells=tells, arrays=rule)
  match sorted(inputs):
    case ['image' as name] | ['frames' as name]:
      rule = _picture(exportable, name, workdir)
      reads = 'read_pictures' if name == 'image' else 'read_frames'
      return (
        arrays if rule is None else dict(reads=reads, tells=tells, picture=rule)
      )
    case ['image', 'image_size']:
      rule = _normalisation(config, 'image')
      rule |= dict(size=list(inputs['image'].shape[1:3]))
      return dict(reads='read_canvas', tells=tells, picture=rule)
    case ['ids', 'input_mask', *_] if not options.get('tokenizer_model'):
      text = dict(
        length=inputs['ids'].shape[1],
        first_byte=tokenizer.NUM_SPECIAL,
        mask=tokenizer.MASK,
        separator=tokenizer.SEP,
        begin=[tokenizer.CLS] if options.get('begin_with_cls') else [],
        constants={k: int(x[0]) for k, x in inputs.items() if x.ndim == 1},
      )
      return dict(reads='read_text', tells=tells, text=text)
  return arrays


def _teller(outputs) -> str:
  if 'logits' in outputs:
    kinds = {2: 'tell_classes', 3: 'tell_blanks', 4: 'tell_mask'}
    return kinds[len(outputs['logits'].shape)]
  for name in ('depth', 'flow', 'boxes'):
    if name in outputs:
      return f'tell_{name}'
  return 'tell_arrays'


def _picture(exportable, name, workdir) -> dict[str, Any] | None:
  """How pictures become inputs [(2,) H, W, C]; None if no rule is known.

  `same_as_evaluation` is whether all of a picture is seen as the run's
  evaluation sees it, which may keep another height and width.
  """
  *lead, height, width, channels = exportable.inputs[name].shape[1:]
  if channels not in (1, 3) or len(lead) != (name == 'frames'):
    return None
  config = exportable.config
  rule = _normalisation(config, name)
  if rule is None:
    return None
  rule |= dict(size=[height, width], mode='L' if channels == 1 else 'RGB')
  data = prediction.evaluation(config).data
  preprocess = importlib.import_module(data.module).preprocess
  options = inspect.signature(preprocess).bind_partial(**data.preprocess)
  options.apply_defaults()
  fraction = options.arguments.get('crop_fraction')
  if fraction is None:
    rule |= dict(resize='stretch')
  elif options.arguments['resize_last']:
    rule |= dict(resize='central_square', fraction=fraction)
  else:
    short = math.floor(max(height, width) / fraction)
    rule |= dict(resize='short_side', short=short)
  # Frames are predicted in tiles, at their own size.
  same = name == 'image' and _is_evaluations(config, rule, workdir)
  if (
    not same
    and not exportable.resized
    and _teller(exportable.outputs) == 'tell_classes'
  ):
    return None
  return rule | dict(same_as_evaluation=same)


def _is_evaluations(config, rule, workdir) -> bool:
  """Whether a rule gives what the run's own predictions look at."""
  module = importlib.import_module(config.task.module)
  if not hasattr(module, 'PREDICTIONS'):
    return False
  kind = importlib.import_module(module.PREDICTIONS)
  kind = kind.make_predictions(config, run_files.read_classes(workdir))
  pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
  with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'x.png')
    PIL.Image.fromarray(pixels).resize((330, 270)).save(path)
    expected = kind.example(path)['image']
    resized = getattr(parts, rule['resize'])
    ((_, found),) = parts.read_pictures([path], {'picture': rule}, resized)
  found = found['image']
  return found.shape == expected.shape and np.allclose(
    found, expected, atol=1e-4
  )


def _normalisation(config, name) -> dict[str, Any] | None:
  """Mean and deviation of pixels in [0, 1]; None if it is not as simple."""
  data = prediction.evaluation(config).data
  module, options = importlib.import_module(data.module), data.preprocess
  raw = module.synthetic(data.split)[0]
  if name == 'frames':  # Made-up pairs are composed; all are normalised alike.
    module, options = flow, {}
    frame, zeros = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    raw = dict(frame1=frame, frame2=frame, flow=frame, valid=zeros)

  def first_pixel(value):
    changed = {k: _filled(raw[k], value) for k in _PICTURES if k in raw}
    x = module.preprocess(raw | changed, train=False, rng=None, **options)[name]
    return x.reshape(-1, x.shape[-1])[0].astype(np.float64)

  black, grey, white = map(first_pixel, (0, 51, 255))
  if np.any(white <= black) or not np.allclose(
    black + (white - black) / 5, grey, atol=1e-3
  ):
    return None
  std = 1 / (white - black)
  mean = -black * std
  return dict(mean=mean.round(5).tolist(), std=std.round(5).tolist())


def _filled(image, value):
  """A raw image in which all pixels are alike."""
  if isinstance(image, np.ndarray):
    return np.full_like(image, value)
  buffer = io.BytesIO()
  size = PIL.Image.open(io.BytesIO(image)).size
  PIL.Image.new('RGB', size, (value,) * 3).save(buffer, 'png')
  return buffer.getvalue()


def _figures(workdir: str) -> dict[str, Any]:
  """What was measured of the run: by eval.py, else the last of training."""
  root = places.of(workdir)
  if (root / 'results.json').exists():
    found = strict_json.loads((root / 'results.json').read_text())
    return {k: found[k] for k in ('date', 'command', 'metrics')}
  metrics = {}
  if (root / 'metrics.jsonl').exists():
    for line in (root / 'metrics.jsonl').read_text().splitlines():
      scalars = strict_json.loads(line)
      metrics |= {k: x for k, x in scalars.items() if '/' in k}
  return {'metrics': metrics} if metrics else {}


def save(path: pathlib.Path, description: dict[str, Any]) -> None:
  """Writes model.json."""
  path.write_text(json.dumps(description, indent=2) + '\n')
