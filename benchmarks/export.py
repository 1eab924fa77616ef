"""The table of docs/export.md: task by format, difference, size and time.

  make test-export                           measures tiny models, prints theirs
  python -m benchmarks.export --full         the papers' sizes, random weights
  python -m benchmarks.export --cells=FILE   prints what the tests measured

A cell is the largest difference to the model over all outputs, as a share of
their scales, the file's size, and the median time of a call at a batch of 1.
"""

import importlib
import json
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

from absl import app, flags

from tests.exported_runs import make_run
from tools.export import __main__ as export_main
from tools.export import describe, formats, run
from train_lib import run_files, runtime

CELLS = flags.DEFINE_string('cells', None, 'What the tests measured.')
FULL = flags.DEFINE_bool('full', False, "Measure the papers' sizes.")
ONLY = flags.DEFINE_multi_string('only', [], 'Of these: language, onnx.')
# Name -> config, and the outputs to export; () for all.
SIZES = {
  'PaCa-Tiny, 224 x 224': ('paca_vit.imagenet:tiny_p2cconv_100_0', ('logits',)),
  'language, 2,048 bytes': (
    'perceiver_io.masked_language_modelling:base_bytes',
    (),
  ),
  'flow, a tile of 368 x 496': ('perceiver_io.optical_flow:patch3', ()),
}


def cell(measured: Mapping[str, Any]) -> str:
  """Of what `check.check` returns."""
  share = max(
    x['absolute'] / max(x['of_scale'], 1e-12)
    for x in measured['largest_difference'].values()
  )
  times = measured['milliseconds']['exported']
  size = measured['bytes'] / 2**20
  return f'{share:.1e}, {size:.2f} MiB, {times["p50"]:,.1f} ms'


def table(cells: Mapping[tuple[str, str], str]) -> str:
  """Markdown of (task, format) -> text."""
  tasks = dict.fromkeys(task for task, _ in cells)
  header = ['task', *formats.FORMATS]
  rows = [header, ['---'] * len(header)]
  for task in tasks:
    missing = 'not measured'
    rows.append(
      [task, *(cells.get((task, x), missing) for x in formats.FORMATS)]
    )
  return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def read(path: str) -> dict[tuple[str, str], str]:
  """The cells that tests wrote, a line of JSON each; the last of each counts.

  Raises:
    OSError: there is no such file.
  """
  found = {}
  for line in pathlib.Path(path).read_text().splitlines():
    x = json.loads(line)
    found[x['task'], x['format']] = x.get('refused') or cell(x['check'])
  return found


def config_of(name: str):
  """Of 'paca_vit.imagenet:variant'."""
  module, _, variant = name.partition(':')
  return importlib.import_module(f'configs.{module}').get_config(variant)


def measure(name: str, outputs: tuple[str, ...], format_: str) -> str:
  """A cell, of random weights."""
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    workdir = make_run(root / 'run', config_of(name))
    config = run_files.read_config(workdir)
    exportable = run.load(config, workdir, outputs=outputs)
    about = describe.describe(exportable, workdir, None)
    try:
      return cell(export_main.export(exportable, format_, root, about))
    except ValueError as e:
      return ' '.join(str(e).split())[:120]


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  if CELLS.value:
    print(table(read(CELLS.value)))
    return
  if not FULL.value:
    raise ValueError('--full: found neither --full nor --cells.')
  runtime.initialize()
  cells = {}
  for task, (name, outputs) in SIZES.items():
    for format_ in formats.FORMATS:
      chosen = all(x in task or x == format_ for x in ONLY.value)
      if chosen and not formats.missing(formats.FORMATS[format_]):
        cells[task, format_] = measure(name, outputs, format_)
        print(task, format_, cells[task, format_], flush=True)
  print(table(cells))


if __name__ == '__main__':
  runtime.run(main)
