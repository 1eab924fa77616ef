"""benchmarks.export puts what the tests measured into a table."""

import json

from benchmarks import export

CHECK = dict(
  largest_difference={
    'logits': dict(absolute=2e-6, of_scale=4.0),
    'maps': dict(absolute=1e-6, of_scale=0.1),
  },
  bytes=3 * 2**19,
  milliseconds={'exported': dict(p50=1234.5, p95=2000.0, runs=5)},
)


def test_table_of_what_was_measured(tmp_path):
  lines = [
    dict(task='flow', format='onnx', refused='refused'),
    dict(task='depth', format='litert', refused='an older run'),
    dict(task='depth', format='litert', check=CHECK),
  ]
  path = tmp_path / 'cells.jsonl'
  path.write_text('\n'.join(map(json.dumps, lines)))
  assert export.table(export.read(str(path))).splitlines() == [
    '| task | stablehlo | onnx | litert |',
    '| --- | --- | --- | --- |',
    '| flow | not measured | refused | not measured |',
    '| depth | not measured | not measured | 1.0e-05, 1.50 MiB, 1,234.5 ms |',
  ]


def test_sizes_are_configs():
  for name, _ in export.SIZES.values():
    assert export.config_of(name).task.module
