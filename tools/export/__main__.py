"""Writes a run's model for another runtime, and runs what it wrote.

  python -m tools.export --workdir=runs/photos --format=onnx --output=photos

The folder --output has the model, model.json, which says what goes in and what
comes out, and predict.py, which needs neither this repository nor JAX (of
stablehlo JAX alone):

  stablehlo    model.stablehlo, for jax.export on CPU, GPU and TPU
  onnx         model.onnx, for onnxruntime and many others
  litert       model.tflite, for LiteRT on phones and boards; of one example
  safetensors  model.safetensors, under published names where there are some,
               README.md, a model card, and config.json if transformers has
               such a model; for this library and for the hub (--push)

The exported file is always run, at batch 1 and, where it takes any, 3: the
largest difference to the model is printed, and one above 1e-4 of an output's
scale is an error.
"""

import importlib
import os
import pathlib
import shutil
import tempfile

from absl import app, flags

from tools.export import (
  apart,
  card,
  check,
  describe,
  formats,
  hub,
  program,
  quantize,
  run,
)
from tools.output import OUTPUT
from train_lib import run_files, runtime, trained

FORMAT = flags.DEFINE_enum(
  'format', None, [*formats.FORMATS, card.FORMAT], 'What to write.'
)
SIZE = flags.DEFINE_list(
  'size',
  [],
  'Height and width of images, or length of texts; by default those of '
  'training.',
)
OUTPUTS = flags.DEFINE_list(
  'outputs', [], 'Which of the predictions to export; by default all.'
)
PARAMETERS = flags.DEFINE_enum(
  'parameters',
  'float32',
  ['float32', 'bfloat16', 'float16', 'int8'],
  'What they are rounded to and stored in; computed is in float32, with int8, '
  'of onnx and litert, also in 8 bits, by ranges found on training examples.',
)
LICENCE = flags.DEFINE_string('licence', None, "The weights', for model.json.")
QUERIES = flags.DEFINE_integer(
  'queries',
  None,
  'Write encoder and decoder as two files; this many are answered at a time.',
  lower_bound=1,
)
PUSH = flags.DEFINE_string(
  'push', None, 'organisation/name on the Hugging Face hub, of safetensors.'
)


def check_output(output: str) -> None:
  """Raises ValueError for a folder with files in it, and for a file."""
  path = pathlib.Path(output)
  if path.exists() and (not path.is_dir() or any(path.iterdir())):
    found = 'a file' if not path.is_dir() else 'a folder that has files in it'
    raise ValueError(
      f'--output: {output} is {found}; expected a new or empty folder.'
    )


def size_of(values: list[str]) -> tuple[int, ...]:
  """Of --size; raises ValueError for anything but one or two numbers."""
  if len(values) > 2 or not all(x.isdigit() and int(x) for x in values):
    raise ValueError(
      f'--size: found {",".join(values)}, expected a height and a width, such '
      'as 224,224, or a length.'
    )
  return tuple(map(int, values))


def export(
  exportable: run.Exportable,
  name: str,
  folder: pathlib.Path,
  about: dict,
  is_int8: bool = False,
) -> dict:
  """Writes a runtime's file, model.json and predict.py; returns the check.

  Args:
    exportable: the run.
    name: of the format.
    folder: that exists.
    about: see `describe.describe`.
    is_int8: whether it is then quantised, which the check has as `int8`.
  """
  format_ = formats.FORMATS[name]
  path = folder / format_.file
  is_free = format_.write(path, exportable)
  measured = check.check(exportable, format_, path, is_free)
  if is_int8:
    found = quantize.quantize(exportable, name, format_, path)
    measured = measured | {'int8': found}
  about = {
    'format': name,
    'file': format_.file,
    'batch': 'any' if is_free else 1,
    **about,
    'check': measured,
  }
  describe.save(folder / 'model.json', about)
  (folder / 'predict.py').write_text(program.source(format_, about))
  return measured


def report(name: str, measured: dict) -> str:
  """What is printed of a check."""
  lines = [f'{measured["bytes"] / 2**20:.2f} MiB']
  for output, x in measured['largest_difference'].items():
    lines.append(
      f'{output}: largest difference to the model {x["absolute"]:.1e}, of a '
      f'scale of {x["of_scale"]:.3g}'
    )
  for which, x in measured['milliseconds'].items():
    which = name if which == 'exported' else which
    lines.append(
      f'{which}, batch of 1: p50 {x["p50"]:.2f} ms, p95 {x["p95"]:.2f} ms of '
      f'{x["runs"]} calls'
    )
  if 'int8' in measured:
    lines.append(quantize.report(measured['int8']))
  return '\n'.join(lines)


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  name, output = FORMAT.value, OUTPUT.value
  check_output(output)
  if PUSH.value is not None:
    if name != card.FORMAT:
      raise ValueError(f'--push: found --format={name}, expected safetensors.')
    hub.check_push(PUSH.value)
  if QUERIES.value is not None and name == card.FORMAT:
    raise ValueError(f'--queries: found --format={name}, expected a runtime.')
  size = size_of(SIZE.value)
  if name in formats.FORMATS:
    absent = formats.missing(formats.FORMATS[name])
    if absent:
      raise ValueError(
        f'--format={name}: found no package {", ".join(absent)}; '
        f'{formats.FORMATS[name].install}'
      )
  is_int8 = PARAMETERS.value == 'int8'
  if is_int8:
    quantize.check_format(name)
    if QUERIES.value is not None:
      raise ValueError('--queries: found --parameters=int8, expected a float.')
  runtime.initialize()
  workdir = runtime.WORKDIR.value
  config = run_files.config_of(runtime.CONFIG.value, workdir)
  importlib.import_module(config.task.module)
  exportable = run.load(
    config,
    workdir,
    best=trained.BEST.value,
    size=size,
    outputs=OUTPUTS.value,
    parameters='float32' if is_int8 else PARAMETERS.value,
  )
  about = describe.describe(exportable, workdir, LICENCE.value)
  # All of it or nothing: a model that failed its check is not left behind.
  parent = pathlib.Path(output).absolute().parent
  parent.mkdir(parents=True, exist_ok=True)
  new = pathlib.Path(tempfile.mkdtemp(prefix='.export-', dir=parent))
  try:
    if name == card.FORMAT:
      text = card.write(exportable, new, about, workdir)
    else:
      text = _exported(exportable, name, new, about)
    new.chmod(0o777 & ~_umask())
    new.replace(pathlib.Path(output).absolute())
  finally:
    shutil.rmtree(new, ignore_errors=True)
  print(f'{output}: {", ".join(sorted(os.listdir(output)))}')
  print(text)
  if PUSH.value is not None:
    print(hub.push(pathlib.Path(output), PUSH.value))


def _exported(exportable, name, folder, about) -> str:
  """What to print of one file, or of two."""
  if QUERIES.value is None:
    is_int8 = PARAMETERS.value == 'int8'
    return report(name, export(exportable, name, folder, about, is_int8))
  measured = apart.export(exportable, name, folder, about, QUERIES.value)
  return '\n'.join(f'{k}: {report(name, x)}' for k, x in measured.items())


def _umask() -> int:
  mask = os.umask(0)
  os.umask(mask)
  return mask


if __name__ == '__main__':
  flags.mark_flags_as_required(['workdir', 'format', 'output'])
  runtime.run(main)
