"""What a compiled program moves, read from its text.

XLA's own figures count the body of a loop once. Here every computation counts
as often as it runs, and each branch of a conditional as if it were taken.
"""

import collections
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

COLLECTIVES = (
  'all-gather',
  'all-reduce',
  'reduce-scatter',
  'all-to-all',
  'collective-permute',
)
_BITS = {'pred': 8, 'bf16': 16}  # of types that do not end in their bits
_ARRAY = re.compile(r'\b([a-z]+\d*\w*)\[([\d,]*)\](\{[^}]*\})?')
_INSTRUCTION = re.compile(r'^\s*(ROOT )?%?([\w.\-]+) = (.*)$')
_OPERATION = re.compile(r'(?:^| )([a-z][a-z0-9\-]*)\(')
_BRANCHES = re.compile(
  r'(?:true_computation|false_computation|branch_computations)='
  r'(\{[^}]*\}|%?[\w.\-]+)'
)
_TRIPS = re.compile(r'known_trip_count[^}]*?(\d+)')
_BOUND = re.compile(r'^s32\[\]\S* constant\((\d+)\)')
_FREE = (
  'parameter constant tuple get-tuple-element bitcast while conditional call '
  'after-all partition-id replica-id iota optimization-barrier'
).split()


class Instruction(NamedTuple):
  """Attributes:
  name: unique in its program.
  operation: such as 'all-gather-start'.
  result: its type, as text.
  operands: names of instructions.
  text: the whole line.
  is_root: whether the computation returns it.
  """

  name: str
  operation: str
  result: str
  operands: list[str]
  text: str
  is_root: bool

  @property
  def op_name(self) -> str:
    """Where it comes from: 'jit(train_step)/encoder/...'."""
    found = re.search(r'op_name="([^"]*)"', self.text)
    return found[1] if found else self.name

  def called(self, attribute: str) -> str:
    """The computation that an attribute names, '' if there is none."""
    found = re.search(rf'\b{attribute}=%?([\w.\-]+)', self.text)
    return found[1] if found else ''


class Collective(NamedTuple):
  """Attributes:
  kind: one of COLLECTIVES.
  results: (shape, bytes on a device) of the arrays that it returns.
  times: how often it runs.
  op_name: see `Instruction`.
  """

  kind: str
  results: list[tuple[tuple[int, ...], int]]
  times: int
  op_name: str

  @property
  def size(self) -> int:
    """Bytes of all results."""
    return sum(size for _, size in self.results)


class Program:
  """A compiled program."""

  def __init__(self, text: str):
    """Args: text, as `jax.stages.Compiled.as_text` gives it."""
    self._computations: dict[str, list[Instruction]] = {}
    current, entry = None, None
    for line in text.splitlines():
      if line.endswith('{') and not line.startswith((' ', 'HloModule')):
        name = line.removeprefix('ENTRY ').lstrip('%').split(' ')[0]
        current = self._computations.setdefault(name, [])
        entry = name if line.startswith('ENTRY') else entry
      elif current is not None and (found := _INSTRUCTION.match(line)):
        current.append(_instruction(*found.groups()))
    if entry is None:
      raise ValueError('text: expected an HLO module, found no ENTRY.')
    self._types = {
      i.name: i.result for c in self._computations.values() for i in c
    }
    self._times = collections.Counter()  # outside of fusions
    self._fused = collections.Counter()
    self._visit(entry, 1, self._times)

  def _visit(self, name, times, counter):
    counter[name] += times
    for instruction in self._computations[name]:
      if body := instruction.called('body'):
        self._visit(body, times * self._trips(instruction), counter)
      elif callee := instruction.called('calls'):
        is_async = instruction.operation.startswith('async')
        inside = counter if is_async else self._fused
        self._visit(callee, times, inside)
      elif instruction.operation == 'call':
        self._visit(instruction.called('to_apply'), times, counter)
      elif instruction.operation == 'conditional':
        for branches in _BRANCHES.findall(instruction.text):
          for branch in re.findall(r'[\w.\-]+', branches):
            self._visit(branch, times, counter)

  def _trips(self, loop: Instruction) -> int:
    """How often a loop runs; once if that cannot be told."""
    if known := _TRIPS.search(loop.text):
      return int(known[1])
    # What a scan's condition compares its counter with.
    condition = self._computations[loop.called('condition')]
    bounds = [_BOUND.search(i.text) for i in condition]
    bounds = [int(bound[1]) for bound in bounds if bound]
    return bounds[0] if len(bounds) == 1 else 1

  def _instructions(self, counters) -> Iterator[tuple[Instruction, int]]:
    for counter in counters:
      for name, times in counter.items():
        for instruction in self._computations[name]:
          yield instruction, times

  def collectives(self) -> list[Collective]:
    """All communication between devices."""
    found = []
    for i, times in self._instructions((self._times, self._fused)):
      kind = i.operation.removesuffix('-start')
      if kind in COLLECTIVES:
        results = _arrays(i.result, on_chip=True)
        if i.operation in ('all-gather-start', 'collective-permute-start'):
          results = results[len(i.operands) :]  # It returns these, too.
        found.append(Collective(kind, results, times, i.op_name))
    return found

  def bytes_accessed(self) -> int:
    """What a device reads from its memory and writes to it.

    Every fusion reads its operands and writes its results once; of what it
    only slices, the slice counts. On-chip memory (`S(1)`) is free.
    """
    return sum(
      times * self._traffic(i) for i, times in self._instructions([self._times])
    )

  def _traffic(self, i: Instruction) -> int:
    operands = [_size(self._types.get(name, '')) for name in i.operands]
    if i.operation in _FREE or i.operation.startswith('async'):
      return 0
    if i.operation == 'custom-call' and '"AllocateBuffer"' in i.text:
      return 0
    if i.operation == 'slice-start':  # returns its operand, then the slice
      _, (_, sliced), *_ = _arrays(i.result, on_chip=True)
      return min(sum(operands), sliced)
    if i.operation.endswith('-start'):
      return sum(operands)
    if i.operation.endswith('-done'):
      return _size(i.result)
    if i.operation in ('dynamic-slice', 'slice'):
      return 2 * _size(i.result)
    if i.operation == 'dynamic-update-slice':
      return 2 * operands[1]
    if i.operation == 'fusion':
      return self._fusion_traffic(i, operands)
    return sum(operands) + _size(i.result)

  def _fusion_traffic(self, fusion, operands) -> int:
    read = sum(
      self._read(fusion.called('calls'), index, size)
      for index, size in enumerate(operands)
    )
    written = _size(fusion.result)
    for i in self._computations[fusion.called('calls')]:
      if i.operation == 'dynamic-update-slice' and i.operands:
        update = _size(self._types.get(i.operands[1], ''))
        written -= max(_size(i.result) - update, 0)
    return read + max(written, 0)

  def _read(self, name: str, index: int, size: int) -> int:
    """What a fused computation reads of a parameter of `size` bytes."""
    body = self._computations[name]
    parameter = next(
      i.name
      for i in body
      if i.operation == 'parameter' and f' parameter({index})' in i.text
    )
    total = 0
    for user in body:
      for position, operand in enumerate(user.operands):
        if operand != parameter:
          continue
        if user.operation == 'dynamic-slice' and position == 0:
          total += _size(user.result)
        elif user.operation == 'dynamic-update-slice' and position == 0:
          pass  # An update happens in place, in what the fusion returns.
        elif user.operation == 'fusion':
          total += self._read(user.called('calls'), position, size)
        else:
          return size
    return min(total, size)


def _instruction(root, name, rest) -> Instruction:
  found = _OPERATION.search(rest)
  if not found:
    return Instruction(name, '', rest, [], rest, bool(root))
  depth, end = 0, len(rest)
  for end in range(found.end() - 1, len(rest)):
    depth += (rest[end] == '(') - (rest[end] == ')')
    if depth == 0:
      break
  operands = re.findall(r'%([\w.\-]+)', rest[found.end() : end])
  return Instruction(
    name, found[1], rest[: found.start()], operands, rest, bool(root)
  )


def _arrays(
  text: str, on_chip: bool = False
) -> list[tuple[tuple[int, ...], int]]:
  """(shape, bytes) of all arrays of a type.

  Args:
    text: the type.
    on_chip: whether arrays outside of the main memory have bytes, too.
  """
  found = []
  for dtype, shape, layout in _ARRAY.findall(text):
    shape = tuple(int(x) for x in shape.split(',') if x)
    digits = re.search(r'\d+', dtype)
    bits = _BITS.get(dtype) or (int(digits[0]) if digits else 0)
    counts = on_chip or 'S(' not in layout
    size = math.prod(shape) * bits // 8 if counts else 0
    found.append((shape, size))
  return found or [((), 0)]


def _size(text: str) -> int:
  return sum(size for _, size in _arrays(text))
