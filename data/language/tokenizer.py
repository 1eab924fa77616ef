"""Text as tokens: UTF-8 bytes, or the pieces of a SentencePiece model.

The published byte models have 262 ids: 6 special ones, then the 256 bytes. The
published SentencePiece models have 32,000, of a model that was not published:
users train their own (`train_sentencepiece`).

Both tokenizers have `vocab_size`, `pad_id`, `mask_id`, `cls_id`, `sep_id`,
`encode`, `decode` and `word_ids`; `make_tokenizer` makes either.
"""

import functools
import io
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


class ByteTokenizer:
  """The functions of this module as an object."""

  vocab_size = VOCAB_SIZE
  pad_id, mask_id, cls_id, sep_id = PAD, MASK, CLS, SEP
  encode = staticmethod(encode)
  decode = staticmethod(decode)
  _is_word = np.array(
    [False] * NUM_SPECIAL + [not bytes([b]).isspace() for b in range(256)]
  )

  def word_ids(self, ids: np.ndarray) -> np.ndarray:
    """To which word each token belongs: 0, 1, ..., -1 for none.

    Words are what white space and special ids separate.

    Args:
      ids: [M].

    Returns:
      [M] integers.
    """
    return _count_runs(self._is_word[ids], starts=False)


class SentencePieceTokenizer:
  """The pieces of a model that `train_sentencepiece` made."""

  def __init__(self, model_path: str):
    """Reads the model.

    Args:
      model_path: a file whose vocabulary has <pad>, [MASK], [CLS] and [SEP].

    Raises:
      ValueError: if it lacks one of those.
    """
    # An optional extra, which the byte models do without.
    import sentencepiece

    self._model = sentencepiece.SentencePieceProcessor(model_file=model_path)
    self.vocab_size = len(self._model)
    self.pad_id, self.mask_id, self.cls_id, self.sep_id = (
      self._special_id(piece, model_path) for piece in _SPECIAL_PIECES
    )
    pieces = [self._model.id_to_piece(i) for i in range(self.vocab_size)]
    self._is_word = np.array(
      [not self._model.is_control(i) for i in range(self.vocab_size)]
    )
    self._begins_word = np.array([p.startswith(_WORD_START) for p in pieces])

  def _special_id(self, piece, model_path):
    found = self._model.piece_to_id(piece)
    if self._model.id_to_piece(found) != piece:
      raise ValueError(
        f'tokenizer_model: {model_path} has no piece {piece!r}; expected a '
        'model of `python -m tools.train_sentencepiece`.'
      )
    return found

  def encode(self, text: str | bytes) -> np.ndarray:
    """As the module's `encode`; white space is normalised to single spaces."""
    if isinstance(text, str):
      text = text.encode('utf-8', errors='surrogatepass')
    try:
      ids = self._model.encode(text.decode('utf-8'))
    except UnicodeError as e:
      raise ValueError(f'text: expected UTF-8, found {e}.') from e
    return np.asarray(ids, np.int32)

  def decode(self, ids: Iterable[int]) -> str:
    """The text of ids; special ids vanish."""
    return self._model.decode([int(i) for i in ids])

  def word_ids(self, ids: np.ndarray) -> np.ndarray:
    """As `ByteTokenizer.word_ids`; a word's first piece bears its space."""
    return _count_runs(self._is_word[ids], starts=self._begins_word[ids])


Tokenizer = ByteTokenizer | SentencePieceTokenizer

_SPECIAL_PIECES = ('<pad>', '[MASK]', '[CLS]', '[SEP]')
_WORD_START = '\u2581'  # SentencePiece's picture of a space


@functools.lru_cache
def make_tokenizer(model_path: str | None) -> Tokenizer:
  """Bytes if `model_path` is None, else that SentencePiece model."""
  if model_path is None:
    return ByteTokenizer()
  return SentencePieceTokenizer(model_path)


def train_sentencepiece(
  texts: Iterable[str], model_path: str, vocab_size: int
) -> None:
  """Fits a unigram model, as BERT-like models use it, and writes its file.

  Args:
    texts: any number of texts; lines are what is counted.
    model_path: of the file.
    vocab_size: 32,000 in the paper.
  """
  import sentencepiece

  model = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=(line for t in texts for line in t.splitlines() if line),
    model_writer=model,
    vocab_size=vocab_size,
    model_type='unigram',
    pad_id=0,
    unk_id=1,
    bos_id=2,
    eos_id=3,
    control_symbols=list(_SPECIAL_PIECES[1:]),
    max_sentence_length=2**16,  # bytes; longer lines are skipped
    minloglevel=2,
  )
  with open(model_path, 'wb') as f:
    f.write(model.getvalue())


def _count_runs(inside: np.ndarray, starts: np.ndarray | bool) -> np.ndarray:
  """Numbers the runs of `inside` [M], cut also before each of `starts`."""
  before = np.concatenate([[False], inside[:-1]])
  begins = inside & (starts | ~before)
  return np.where(inside, np.cumsum(begins) - 1, -1)
