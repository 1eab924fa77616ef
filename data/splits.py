"""Which part of users' own data trains, where they did not say so."""

import hashlib
from collections.abc import Iterable

VALIDATION_SHARE = 0.2
# What people call the part that decides between runs, the likeliest first.
_NAMES = {
  'train': ('train', 'training'),
  'validation': ('validation', 'valid', 'val', 'dev', 'test', 'testing'),
  'test': ('test', 'testing'),
}


def by_hash(name: str) -> str:
  """'train' or 'validation': one name in five, the same in every run.

  Args:
    name: of an example, or of the group that must stay together.
  """
  digest = hashlib.sha256(name.encode()).digest()
  number = int.from_bytes(digest[:8], 'big') / 2**64
  return 'validation' if number < VALIDATION_SHARE else 'train'


def names(split: str) -> tuple[str, ...]:
  """What people call a split, the likeliest first."""
  return _NAMES.get(split, (split,))


def called(split: str, present: Iterable[str]) -> str:
  """What a split is called among those that are present.

  Raises:
    ValueError: none of them is meant by it.
  """
  present = sorted(present)
  lower = {name.lower(): name for name in present}
  for name in names(split):
    if name in lower:
      return lower[name]
  raise ValueError(
    f'config.data.split: expected one of {present}, found {split!r}.'
  )
