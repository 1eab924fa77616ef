"""Writes an `Exportable` as a file for a runtime.

jax2onnx traces with functions of its own in the place of JAX's and Flax's; the
converter to LiteRT takes StableHLO, and has no public interface: the versions
of both are pinned (docs/export.md), and tests convert, run and compare.
"""

import contextlib
import importlib.util
import io
import logging
import os
import pathlib
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import export

from perceiver_paca.ops import compiling
from tools.export import parts, rewrite
from tools.export.run import Exportable


class Format(NamedTuple):
  """Attributes:
  file: the name of what is written.
  write: writes it to a path; returns whether the file takes any number of
    examples at a time, or one.
  load: reads it as a function of named numpy arrays.
  packages: that are needed, by their modules' names.
  install: what brings them.
  runtime: what `predict.py` needs beside numpy and Pillow.
  """

  file: str
  write: Callable[[pathlib.Path, Exportable], bool]
  load: Callable[[pathlib.Path], Callable[[dict[str, Any]], dict[str, Any]]]
  packages: tuple[str, ...]
  install: str
  runtime: str


def missing(format_: Format) -> list[str]:
  """The packages that are not there."""
  return [x for x in format_.packages if importlib.util.find_spec(x) is None]


def _flat(exportable):
  """The function of arrays in the order of their names, to a tuple."""

  def predict(*arrays):
    inputs = dict(zip(exportable.inputs, arrays, strict=True))
    outputs = exportable.predict(inputs)
    return tuple(outputs[name] for name in exportable.outputs)

  return predict


def _specs(exportable, batch):
  return {
    name: jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype)
    for name, x in exportable.inputs.items()
  }


def write_stablehlo(path: pathlib.Path, exportable: Exportable) -> bool:
  """For `jax.export.deserialize`, on any platform."""
  (free,) = export.symbolic_shape('b')
  exported = export.export(
    jax.jit(exportable.predict), platforms=('cpu', 'cuda', 'tpu')
  )(_specs(exportable, free))
  path.write_bytes(exported.serialize())
  return True


def write_onnx(path: pathlib.Path, exportable: Exportable) -> bool:
  """By jax2onnx; what it cannot do for any batch, for one example.

  Raises:
    ValueError: there is an operation that it does not know.
  """
  with quiet(), compiling.for_other_runtimes():
    import jax2onnx

    def convert(function, batch):
      return jax2onnx.to_onnx(
        function,
        list(_specs(exportable, batch).values()),
        input_names=list(exportable.inputs),
        output_names=[
          f'{x}_out' if x in exportable.inputs else x
          for x in exportable.outputs
        ],
      )

    flat, is_free = _flat(exportable), True
    try:
      model = convert(flat, 'B')
    except Exception:  # Whatever it stumbles over.
      is_free = False
      specs = _specs(exportable, 1).values()
      try:
        model = convert(rewrite.rewritten(flat, *specs), 1)
      except Exception as e:
        raise _not_converted('onnx', 'jax2onnx', e) from e
  path.write_bytes(model.SerializeToString())
  return is_free


def write_litert(path: pathlib.Path, exportable: Exportable) -> bool:
  """By litert-converter, from StableHLO.

  Raises:
    ValueError: there is an operation that it does not know.
  """
  with quiet():
    from litert_converter import converter_api_ext as converter
    from litert_converter.mlir import ir, passmanager

    specs = _specs(exportable, 1).values()
    with compiling.for_other_runtimes():
      plain = rewrite.rewritten(_flat(exportable), *specs)
      exported = export.export(jax.jit(plain), platforms=['cpu'])(*specs)
    with ir.Context() as context:
      converter.prepare_mlir_context(context)
      module = ir.Module.parse(exported.mlir_module())
      converter.set_signature(
        module.operation,
        'serving_default',
        list(exportable.inputs),
        list(exportable.outputs),
      )
      try:
        converter.run_convert_to_tfl_passes(
          module, passmanager.PassManager(), converter.ConvertToTFLConfig()
        )
        data = converter.export_flatbuffer_to_bytes(module.operation)
      except ValueError as e:
        raise _not_converted('litert', 'litert-converter', e) from e
  path.write_bytes(data)
  return False


def _not_converted(format_, converter, error):
  text = ' '.join(str(error).split()) or type(error).__name__
  return ValueError(
    f'--format={format_}: {converter} cannot convert this task: {text:.300}'
  )


@contextlib.contextmanager
def quiet():
  """Without what the converters tell about themselves."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  level = logging.root.manager.disable
  logging.disable(logging.ERROR)
  try:
    with (
      warnings.catch_warnings(),
      contextlib.redirect_stdout(io.StringIO()),
      contextlib.redirect_stderr(io.StringIO()),
    ):
      warnings.simplefilter('ignore')
      yield
  finally:
    logging.disable(level)


FORMATS = {
  'stablehlo': Format(
    file='model.stablehlo',
    write=write_stablehlo,
    load=parts.load_stablehlo,
    packages=('flatbuffers',),
    install="pip install '.[stablehlo]'",
    runtime='jax with flatbuffers',
  ),
  'onnx': Format(
    file='model.onnx',
    write=write_onnx,
    load=parts.load_onnx,
    packages=('onnx', 'onnx_ir', 'onnxruntime', 'jax2onnx'),
    install=("pip install '.[onnx]' && pip install --no-deps jax2onnx==0.17.1"),
    runtime='onnxruntime',
  ),
  'litert': Format(
    file='model.tflite',
    write=write_litert,
    load=parts.load_litert,
    packages=('ai_edge_litert', 'litert_converter'),
    install=(
      "pip install '.[litert]' && pip install --no-deps litert-converter==0.5.0"
    ),
    runtime='ai-edge-litert',
  ),
}
