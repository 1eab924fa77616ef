"""Blanks of texts filled by a masked language model, for `predict.py`.

A blank, [MASK], is a word whose length is not known: every length up to
`longest` tokens is tried, of several blanks every combination, and the filled
texts are ordered by the mean log probability of a token. Or each blank is one
token, which for a model of bytes is one byte.

Letters: B batch, V ways to fill, M tokens, T the likeliest ids of a token.
"""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from data.language import predictions, text
from data.language.tokenizer import make_tokenizer
from train_lib import prediction

_WAYS = 64  # at most, over all combinations of lengths
_SHOWN = 3
_AT_ONCE = 8
_IMPOSSIBLE = -1e9


def make_predictions(
  config: ml_collections.ConfigDict,
  classes: tuple[str, ...] | None,
  *,
  by: str = 'words',
  blank: str = '[MASK]',
  longest: int = 12,
) -> 'Filled':
  """Of the task `perceiver_io.tasks.masked_language_modelling`.

  Args:
    config: the run's.
    classes: not used.
    by: 'words' or 'tokens', what a blank is.
    blank: how it is written.
    longest: tokens of a word.
  """
  del classes
  if by not in ('words', 'tokens'):
    raise ValueError(f'--option: by: expected words or tokens, found {by!r}.')
  if not blank:
    raise ValueError("--option: blank: found '', expected what stands for one.")
  if longest < 1:
    raise ValueError(
      f'--option: longest: expected a number from 1, found {longest}.'
    )
  options = prediction.evaluation(config).data.preprocess
  return Filled(
    make_tokenizer(options.tokenizer_model),
    options.length,
    blank,
    longest if by == 'words' else None,
  )


class Filled:
  """Reads texts with blanks."""

  batch_size = 1

  def __init__(
    self, tokenizer: Any, length: int, blank: str, longest: int | None
  ):
    """Args:
    tokenizer: of `data.language.tokenizer`.
    length: M, of the model.
    blank: in texts.
    longest: tokens of a blank that are tried; None: each is one token.
    """
    self._tokenizer, self._length, self._blank = tokenizer, length, blank
    self._longest = longest
    self._allowed = _allowed(tokenizer, longest is not None)

  expand = staticmethod(predictions.expand_texts)

  def example(self, given: str | bytes) -> dict[str, np.ndarray]:
    """`ids` int32 and `input_mask` float32 [V, M] of a text with blanks."""
    ways = self._ways(given)
    ids = np.stack(
      [text.pad(way, self._length, self._tokenizer.pad_id) for way, _ in ways]
    )
    lengths = np.array([len(way) for way, _ in ways])
    mask = np.arange(self._length) < lengths[:, None]
    return {'ids': ids, 'input_mask': mask.astype(np.float32)}

  def model_batch(self, batch):
    return batch | {name: batch[name][:, 0] for name in ('ids', 'input_mask')}

  def outputs(self, task, variables, batch):
    """The likeliest `ids` and their `log_probs` [B, V, M, T]."""
    allowed = jnp.where(self._allowed, 0, _IMPOSSIBLE)

    def likeliest(way):
      ids, mask = way
      batch = {'ids': ids[None], 'input_mask': mask[None]}
      logits = task.predict(variables, batch)['logits'][0]
      log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
      return jax.lax.top_k(log_probs + allowed, _SHOWN)

    shape = batch['ids'].shape
    flat = [batch[k].reshape(-1, shape[-1]) for k in ('ids', 'input_mask')]
    log_probs, ids = jax.lax.map(likeliest, flat, batch_size=_AT_ONCE)
    return {
      'ids': ids.reshape(*shape, _SHOWN),
      'log_probs': log_probs.reshape(*shape, _SHOWN),
    }

  def result(self, given: str | bytes, output: dict[str, np.ndarray]):
    """Of words the three best: text, words, probability (of a token, the
    geometric mean), text_2, ...; of tokens text, and blank_1, ...: its three
    likeliest tokens and their probabilities."""
    ways = self._ways(given)
    if self._longest is None:
      return self._tokens(*ways[0], output), {}
    found = []
    for i, (ids, blanks) in enumerate(ways):
      places = np.concatenate(blanks)
      filled = ids.copy()
      filled[places] = output['ids'][i, places, 0]
      words = [self._tokenizer.decode(filled[x]) for x in blanks]
      score = float(output['log_probs'][i, places, 0].mean())
      broken = any('\N{REPLACEMENT CHARACTER}' in word for word in words)
      found.append((broken, -score, self._tokenizer.decode(filled), words))
    values = {}
    for i, (_, score, filled, words) in enumerate(sorted(found)[:_SHOWN], 1):
      suffix = f'_{i}' if i > 1 else ''
      values[f'text{suffix}'] = filled
      values[f'words{suffix}'] = ' '.join(word.strip() for word in words)
      values[f'probability{suffix}'] = round(math.exp(-score), 6)
    return values, {}

  def _tokens(self, ids, blanks, output):
    filled = ids.copy()
    places = np.concatenate(blanks)
    filled[places] = output['ids'][0, places, 0]
    values = {'text': self._tokenizer.decode(filled)}
    for i, place in enumerate(places, 1):
      values[f'blank_{i}'] = '  '.join(
        f'{self._tokenizer.decode([token])!r} {math.exp(log_prob):.2f}'
        for token, log_prob in zip(
          output['ids'][0, place], output['log_probs'][0, place], strict=True
        )
      )
    return values

  def _ways(self, given) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    """(ids [at most M], the places of each blank) of each way to fill."""
    parts = text.as_text(given).split(self._blank)
    if len(parts) == 1:
      raise ValueError(
        f'{str(given)[:40]!r}: found no {self._blank!r}, expected one or more.'
      )
    parts = [self._tokenizer.encode(part) for part in parts]
    num_blanks = len(parts) - 1
    room = self._length - sum(map(len, parts))
    if room < num_blanks:
      raise ValueError(
        f'{str(given)[:40]!r}: found {sum(map(len, parts)) + num_blanks} '
        f'tokens, expected at most {self._length}, the length that the model '
        'was trained with.'
      )
    longest = 1
    if self._longest is not None:
      most = int(_WAYS ** (1 / num_blanks) + 1e-9)
      longest = max(1, min(self._longest, most))
    ways = []
    for lengths in itertools.product(range(1, longest + 1), repeat=num_blanks):
      if sum(lengths) <= room:
        ways.append(self._way(parts, lengths))
    return ways

  def _way(self, parts, lengths):
    ids, blanks = [parts[0]], []
    for part, length in zip(parts[1:], lengths, strict=True):
      begin = sum(map(len, ids))
      blanks.append(np.arange(begin, begin + length))
      ids += [np.full(length, self._tokenizer.mask_id, np.int32), part]
    return np.concatenate(ids).astype(np.int32), blanks


def _allowed(tokenizer: Any, words: bool) -> np.ndarray:
  """[vocabulary]: no special ids, and of words no white space either."""
  ids = np.arange(tokenizer.vocab_size)
  if words:
    return np.array([tokenizer.word_ids(ids[i : i + 1])[0] >= 0 for i in ids])
  special = ('pad_id', 'mask_id', 'cls_id', 'sep_id')
  return ~np.isin(ids, [getattr(tokenizer, name) for name in special])
