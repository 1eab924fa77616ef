"""What all text data share: packing, cropping, whole-word masking.

A raw example is {'text', 'span', 'index'}: `text` str, a crop of which begins
within its first `span` characters, and its place in the data set.

Letters: M tokens of a sequence.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from data.language.tokenizer import make_tokenizer

DOCUMENTS_PER_PACK = 10  # Jaegle et al. 2021b, appendix F.3
SEPARATOR = '\n\n'

# Evaluation masks follow from this and the example's index, nothing else.
_EVAL_SEED = 20_210_730
# No crop needs more text: no vocabulary's tokens are as long on average.
_MAX_CHARACTERS_PER_TOKEN = 16


def split_of(name: str) -> str:
  """'train', or of a tenth of all names 'test', of a document's name."""
  return 'train' if zlib.crc32(name.encode()) % 10 else 'test'


def as_text(raw: bytes | str) -> str:
  """Text as TFDS stores it, or as it is.

  Raises:
    ValueError: if it is not UTF-8.
  """
  if isinstance(raw, str):
    return raw
  try:
    return raw.decode('utf-8')
  except UnicodeDecodeError as e:
    raise ValueError(f'text: expected UTF-8, found {e}.') from e


def pack(documents: Sequence[bytes | str]) -> str:
  """Documents as one text."""
  return SEPARATOR.join(map(as_text, documents))


class Windows(Sequence):
  """Documents in memory, concatenated by tens, as raw examples.

  Example i begins at the i-th multiple of `stride` characters and holds all
  that follows of its ten documents: the first `stride` characters of the
  examples are each pack once.
  """

  def __init__(self, documents: Sequence[bytes | str], stride: int):
    size = DOCUMENTS_PER_PACK
    self._packs = [
      pack(documents[i : i + size]) for i in range(0, len(documents), size)
    ]
    self._stride = stride
    self._starts = [
      (p, start)
      for p, text in enumerate(self._packs)
      for start in range(0, len(text), stride)
    ]

  def __len__(self) -> int:
    return len(self._starts)

  def __getitem__(self, index: int) -> dict[str, Any]:
    p, start = self._starts[index]
    text = self._packs[p][start:]
    return {'text': text, 'span': self._stride, 'index': index}


class Packs(Sequence):
  """Stored documents, concatenated by tens when they are asked for."""

  def __init__(self, documents: Sequence[dict[str, Any]]):
    """Args:
    documents: random access examples with `text`.
    """
    self._documents = documents

  def __len__(self) -> int:
    return -(-len(self._documents) // DOCUMENTS_PER_PACK)

  def __getitem__(self, index: int) -> dict[str, Any]:
    check_index(self, index)
    first = index * DOCUMENTS_PER_PACK
    last = min(first + DOCUMENTS_PER_PACK, len(self._documents))
    text = pack([self._documents[i]['text'] for i in range(first, last)])
    return {'text': text, 'span': len(text), 'index': index}


def check_index(sequence: Sequence, index: int) -> None:
  """Raises the IndexError that ends a loop over a sequence."""
  if not 0 <= index < len(sequence):
    raise IndexError(f'index: {index} is not in [0, {len(sequence)}).')


def synthetic_documents(split: str, num_documents: int) -> list[str]:
  """Documents of invented words, some frequent and most rare."""
  vocabulary = np.random.default_rng(0)
  letters = np.frombuffer(b'abcdefghijklmnopqrstuvwxyz', np.uint8)
  words = [
    vocabulary.choice(letters, vocabulary.integers(1, 10)).tobytes().decode()
    for _ in range(1000)
  ]
  rng = np.random.default_rng(list(split.encode()))
  return [
    ' '.join(words[i % 1000] for i in rng.zipf(1.5, rng.integers(50, 500)))
    for _ in range(num_documents)
  ]


def preprocess_masked(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  length: int,
  tokenizer_model: str | None,
  mask_rate: float,
) -> dict[str, np.ndarray]:
  """A crop of M tokens with whole words masked.

  In training the crop begins anywhere in the example's span, and `rng` masks;
  in evaluation it begins at the beginning, and the mask is always the same.

  Args:
    example: see the top of this file.
    train: whether to draw crop and mask.
    rng: what to draw from; only used in training.
    length: M.
    tokenizer_model: what `make_tokenizer` takes.
    mask_rate: the probability of each word to be masked.

  Returns:
    `ids` (after masking) and `targets` (before) int32 [M], `loss_mask` float32
    [M], 1 where tokens were masked, and `input_mask` float32 [M], 0 where a
    text too short was padded.
  """
  tokenizer = make_tokenizer(tokenizer_model)
  text, start = example['text'], 0
  if train:
    last = max(len(text) - length, 0)
    start = int(rng.integers(min(example['span'], last + 1)))
  else:
    rng = np.random.default_rng([_EVAL_SEED, example['index']])
  text = text[start : start + _MAX_CHARACTERS_PER_TOKEN * length]
  targets = tokenizer.encode(text)[:length]
  masked = masked_words(tokenizer.word_ids(targets), rng, mask_rate)
  ids = np.where(masked, tokenizer.mask_id, targets).astype(np.int32)
  return {
    'ids': pad(ids, length, tokenizer.pad_id),
    'targets': pad(targets, length, tokenizer.pad_id),
    'loss_mask': pad(masked.astype(np.float32), length, 0),
    'input_mask': pad(np.ones(len(ids), np.float32), length, 0),
  }


def masked_words(
  word_ids: np.ndarray, rng: np.random.Generator, rate: float
) -> np.ndarray:
  """Draws words, each for itself, and returns which tokens are theirs.

  Args:
    word_ids: [M], the word of each token, -1 for tokens of no word.
    rng: what to draw from.
    rate: the probability of each word.

  Returns:
    Boolean [M].
  """
  drawn = rng.random(word_ids.max(initial=-1) + 1) < rate
  return np.append(drawn, False)[word_ids]  # -1 is the last


def pad(x: np.ndarray, length: int, value: float) -> np.ndarray:
  """Appends `value` to x [at most length], up to the length."""
  return np.pad(x, (0, length - len(x)), constant_values=value)
