"""An exported file's weights and activations in 8 bits, by its runtime's tool.

Ranges of activations are those of training examples, seen as an evaluation
sees them; what is lost is measured on held-out ones, of which the file answers
before and after. So this reads the run's data, as nothing else here does.
"""

import importlib.util
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tools.export import check, formats
from tools.export.formats import Format
from tools.export.run import Arrays, Exportable
from train_lib import pipeline, prediction

NUM_CALIBRATION, NUM_TESTED = 64, 256
# Of an example: the classes of its logits, and which of them count.
_LABELS, _COUNTED = ('label', 'targets'), 'loss_mask'


def quantize_onnx(path: pathlib.Path, inputs: Sequence[Arrays]) -> None:
  """By onnxruntime: signed, a channel's weights of one scale."""
  from onnxruntime import quantization

  class Reader(quantization.CalibrationDataReader):
    """Gives one example after the other, then None."""

    def __init__(self):
      self._left: Iterator[Arrays] = iter(inputs)

    def get_next(self):
      return next(self._left, None)

  with formats.quiet():
    quantization.quantize_static(path, path, Reader(), per_channel=True)


def quantize_litert(path: pathlib.Path, inputs: Sequence[Arrays]) -> None:
  """By ai-edge-quantizer; what goes in and what comes out stay as they are."""
  from ai_edge_quantizer import quantizer, recipe

  tool = quantizer.Quantizer(path, recipe.static_wi8_ai8())
  for operation in ('INPUT', 'OUTPUT'):
    tool.update_quantization_recipe(
      regex='.*',
      operation_name=getattr(recipe.TFLOperationName, operation),
      algorithm_key=recipe.AlgorithmName.NO_QUANTIZE,
    )
  with formats.quiet():
    ranges = tool.calibrate({'serving_default': inputs}, num_threads=1)
    done = tool.quantize(
      ranges, enable_progress_bar=False, enable_progress_report=False
    )
  path.write_bytes(bytes(done.quantized_model))


_TOOLS = {
  'onnx': (quantize_onnx, 'onnxruntime', "pip install '.[onnx]'"),
  'litert': (quantize_litert, 'ai_edge_quantizer', "pip install '.[litert]'"),
}


def check_format(name: str) -> None:
  """Raises ValueError for a format without such a tool, or a missing tool."""
  if name not in _TOOLS:
    raise ValueError(
      f'--parameters=int8: found --format={name}, expected one of '
      f'{sorted(_TOOLS)}.'
    )
  _, package, install = _TOOLS[name]
  if importlib.util.find_spec(package) is None:
    raise ValueError(
      f'--parameters=int8: found no package {package}; {install}'
    )


def quantize(
  exportable: Exportable, name: str, format_: Format, path: pathlib.Path
) -> dict[str, Any]:
  """Writes a file anew, in 8 bits.

  Args:
    exportable: the run, in float32.
    name: of the format.
    format_: what it is.
    path: of the file, in float32.

  Returns:
    `bytes`, `milliseconds` of a call, `examples` and, of so many held-out
    examples, `before` and `after`: the accuracy, where there are classes, else
    for each output the root mean square difference beside its deviation.

  Raises:
    ValueError: the tool cannot do it.
  """
  config = exportable.config
  seen = pipeline.few_examples(config.data, NUM_CALIBRATION)
  tested = pipeline.few_examples(prediction.evaluation(config).data, NUM_TESTED)
  before = _outputs(exportable, format_.load(path), tested)
  try:
    _TOOLS[name][0](path, [_inputs(exportable, x) for x in seen])
  except Exception as e:  # Every tool has its own.
    text = ' '.join(str(e).split()) or type(e).__name__
    raise ValueError(
      f'--parameters=int8: {_TOOLS[name][1]} cannot quantise this model: '
      f'{text:.300}'
    ) from e
  function = format_.load(path)
  after = _outputs(exportable, function, tested)
  return {
    'bytes': path.stat().st_size,
    'milliseconds': check.latency(function, exportable.batch(1)),
    'examples': len(tested),
    **compared(tested, before, after),
  }


def _inputs(exportable, example) -> Arrays:
  return {
    name: np.asarray(example[name], x.dtype)[None]
    for name, x in exportable.inputs.items()
  }


def _outputs(
  exportable, function: Callable[[Arrays], Arrays], examples
) -> list[Arrays]:
  return [function(_inputs(exportable, x)) for x in examples]


def compared(
  examples: Sequence[Arrays], before: Sequence[Arrays], after: Sequence[Arrays]
) -> dict[str, Any]:
  """`before` and `after`, see `quantize`.

  Args:
    examples: with their labels.
    before, after: outputs of each example, [1, ...].
  """
  label = next((x for x in _LABELS if x in examples[0]), None)
  if label and 'logits' in before[0]:
    shape = before[0]['logits'].shape[1:-1]
    if np.shape(examples[0][label]) == shape:
      return {
        'before': {'accuracy': _accuracy(examples, label, before)},
        'after': {'accuracy': _accuracy(examples, label, after)},
      }
  found = {}
  for name in before[0]:
    x, y = (np.concatenate([o[name] for o in outs]) for outs in (before, after))
    if x.dtype.kind == 'f':
      lost = np.sqrt(np.mean(np.square(x.astype(np.float64) - y)))
      found[name] = float(lost / max(x.std(), 1e-12))
  return {'before': dict.fromkeys(found, 0.0), 'after': found}


def _accuracy(examples, label, outputs) -> float:
  right = total = 0.0
  for example, output in zip(examples, outputs, strict=True):
    logits, labels = output['logits'][0], np.asarray(example[label])
    # Pixels that nobody labelled have a number beyond the classes.
    counted = (labels >= 0) & (labels < logits.shape[-1])
    counted = counted * np.asarray(example.get(_COUNTED, 1.0))
    right += np.sum((logits.argmax(-1) == labels) * counted)
    total += np.sum(counted)
  return float(right / total)


def report(found: dict[str, Any]) -> str:
  """What is printed of it."""
  ms = found['milliseconds']
  lines = [
    f'int8: {found["bytes"] / 2**20:.2f} MiB, batch of 1: p50 '
    f'{ms["p50"]:.2f} ms'
  ]
  for name, after in found['after'].items():
    before = found['before'][name]
    if name == 'accuracy':
      text = f'accuracy {before:.4f} before, {after:.4f} after'
    else:
      text = f'{name} changes by {after:.3f} of its deviation'
    lines.append(f'int8, {found["examples"]} held-out examples: {text}')
  return '\n'.join(lines)
