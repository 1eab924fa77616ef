"""UTF-8 bytes as tokens: the vocabulary of the published byte models.

262 ids: 6 special ones, then the 256 bytes.
"""

from collections.abc import Iterable

import numpy as np

PAD, BOS, EOS, MASK, CLS, SEP = range(6)
NUM_SPECIAL = 6
VOCAB_SIZE = NUM_SPECIAL + 256


def encode(text: str | bytes) -> np.ndarray:
  """The ids, int32 [length], of the text's bytes; no special ones are added.

  Raises:
    ValueError: for bytes that are not UTF-8, and for text that has no UTF-8
      form (lone surrogates).
  """
  try:
    if isinstance(text, bytes):
      text.decode('utf-8')
    else:
      text = text.encode('utf-8')
  except UnicodeError as e:
    raise ValueError(f'text: expected UTF-8, found {e}.') from e
  return np.frombuffer(text, np.uint8).astype(np.int32) + NUM_SPECIAL


def decode(ids: Iterable[int]) -> str:
  """The text of ids; special ids vanish, broken UTF-8 becomes U+FFFD.

  Raises:
    ValueError: for ids outside of the vocabulary.
  """
  ids = np.asarray(list(ids), np.int64)
  if ids.size and not 0 <= ids.min() <= ids.max() < VOCAB_SIZE:
    raise ValueError(
      f'ids: found {ids.min()} to {ids.max()}, expected 0 to {VOCAB_SIZE - 1}.'
    )
  kept = ids[ids >= NUM_SPECIAL] - NUM_SPECIAL
  return kept.astype(np.uint8).tobytes().decode('utf-8', errors='replace')
