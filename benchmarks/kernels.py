"""Where a GPU's time goes: a profile's kernels, summed by what they compute.

  python -m benchmarks.kernels --trace=DIR

DIR is what `benchmarks.throughput --trace=DIR` wrote: JAX's profile and the
compiled program, whose instructions name the lines of the model that they come
from. Prints milliseconds a step by layer (the model's path without numbers) and
of the longest kernels.
"""

import collections
import pathlib
import re

from absl import app, flags

_TRACE = flags.DEFINE_string('trace', None, 'Folder of the profile.')
_STEPS = flags.DEFINE_integer('steps', 3, 'Steps in the profile.')
_ROWS = flags.DEFINE_integer('rows', 25, 'How many of each list to print.')
_INSTRUCTION = re.compile(
  r'^\s*(?:ROOT )?%?([\w.\-]+) = (\S+).*?metadata=\{[^}]*op_name="([^"]*)"',
  re.MULTILINE,
)
_PLUMBING = re.compile(
  r'(jit\(|while|body|eval_jaxpr|cond|branch_|closed_call|checkpoint|remat)'
)


def sources(program: str) -> dict[str, tuple[str, str]]:
  """Shape and path in the model of each instruction, by its kernel's name."""
  return {
    re.sub(r'[.\-]', '_', found[1]): (found[2], found[3])
    for found in _INSTRUCTION.finditer(program)
  }


def kernel_seconds(folder: pathlib.Path) -> dict[str, tuple[float, int]]:
  """Seconds and calls of each kernel, over all streams of the devices."""
  from jax.profiler import ProfileData

  total = collections.defaultdict(lambda: (0.0, 0))
  for path in folder.rglob('*.xplane.pb'):
    for plane in ProfileData.from_file(str(path)).planes:
      if not plane.name.startswith('/device:GPU'):
        continue
      for line in plane.lines:
        if not line.name.startswith('Stream'):
          continue
        for event in line.events:
          seconds, calls = total[event.name]
          total[event.name] = seconds + event.duration_ns * 1e-9, calls + 1
  return dict(total)


def layer(kernel: str, path: str) -> str:
  """The end of a path in the model, without jits, loops and numbers.

  Libraries' kernels (matrix products, convolutions, attention) have names of
  their own and no path.
  """
  parts = [p for p in path.split('/') if p and not _PLUMBING.match(p)]
  if not parts:
    return kernel
  backward = any('transpose' in p for p in parts)
  parts = [re.sub(r'\w+\(([^()]*)\)', r'\1', p) for p in parts]
  parts = [re.sub(r'\d+', '#', p) for p in parts]
  return '/'.join(parts[-3:]) + (' (backward)' if backward else '')


def main(argv):
  del argv
  folder = pathlib.Path(_TRACE.value)
  known = sources((folder / 'program.txt').read_text())
  seconds = kernel_seconds(folder)
  by_layer, rows = collections.Counter(), []
  for kernel, (time, calls) in seconds.items():
    shape, path = known.get(kernel, ('', ''))
    milliseconds = 1000 * time / _STEPS.value
    by_layer[layer(kernel, path)] += milliseconds
    rows.append((milliseconds, calls / _STEPS.value, kernel, shape, path))
  print(f'{sum(by_layer.values()):.2f} ms a step in kernels')
  for name, milliseconds in by_layer.most_common(_ROWS.value):
    print(f'{milliseconds:8.3f} {name}')
  print('kernels: ms a step, calls, shape, path')
  for milliseconds, calls, *names in sorted(rows)[: -_ROWS.value - 1 : -1]:
    print(f'{milliseconds:8.3f} {calls:5.1f}', *names)


if __name__ == '__main__':
  flags.mark_flags_as_required(['trace'])
  app.run(main)
