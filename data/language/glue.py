"""GLUE: eight tasks on English sentences and pairs (Wang et al. 2018).

TFDS needs TensorFlow to prepare it, once:

  pip install -e '.[tf]'
  python -m data.prepare language.glue --data_dir DIR

To read it, that is not needed. A split is '<task>/<split of TFDS>', such as
'mrpc/train' or 'mnli/validation_matched', or 'all/train' or 'all/validation'
for the eight tasks one after the other. WNLI is left out, as in the paper.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data import tfds_source
from data.language import text
from data.language.tokenizer import make_tokenizer

# Task -> the names of its texts. Their order is that of the ids of tasks.
TASKS = {
  'cola': ('sentence',),
  'mnli': ('premise', 'hypothesis'),
  'mrpc': ('sentence1', 'sentence2'),
  'qnli': ('question', 'sentence'),
  'qqp': ('question1', 'question2'),
  'rte': ('sentence1', 'sentence2'),
  'sst2': ('sentence',),
  'stsb': ('sentence1', 'sentence2'),
}
_COMMAND = 'python -m data.prepare language.glue --data_dir DIR'
_MISMATCHED = 'validation_mismatched'


class Concatenation(Sequence):
  """Sources one after the other; an example gets what is said of its source."""

  def __init__(self, sources: Sequence[tuple[Sequence[Any], dict[str, Any]]]):
    self._sources = sources
    self._ends = np.cumsum([len(source) for source, _ in sources])

  def __len__(self) -> int:
    return int(self._ends[-1])

  def __getitem__(self, index: int) -> dict[str, Any]:
    text.check_index(self, index)
    which = int(np.searchsorted(self._ends, index, side='right'))
    source, added = self._sources[which]
    return source[int(index - self._ends[which]) + len(source)] | added


def source(split: str, data_dir: str | None) -> Concatenation:
  """`texts`, one or two, `label`, `task` (index into TASKS), `mismatched`."""
  return Concatenation(
    [
      (
        _Texts(
          tfds_source.open_prepared(
            f'glue/{task}', part, data_dir, command=_COMMAND, decoders={}
          ),
          TASKS[task],
        ),
        _labelled(task, part),
      )
      for task, part in parts(split)
    ]
  )


def as_task(examples: Sequence[dict[str, Any]], task: str) -> Concatenation:
  """Examples of another data set as those of a task with the same fields."""
  return Concatenation([(_Texts(examples, TASKS[task]), _labelled(task, ''))])


def synthetic(split: str, num_examples: int = 32) -> Concatenation:
  """Examples shaped like `source`'s, of invented words."""
  documents = [
    document[:100]
    for document in text.synthetic_documents(split, 2 * num_examples)
  ]
  return Concatenation(
    [
      (
        [
          {'texts': documents[i::num_examples][: len(TASKS[task])]}
          | {'label': np.float32(i % 2)}
          for i in range(num_examples)
        ],
        _labelled(task, part),
      )
      for task, part in parts(split)
    ]
  )


def parts(split: str) -> list[tuple[str, str]]:
  """The (task, split of TFDS) pairs that a split consists of."""
  task, _, part = split.partition('/')
  if not part or (task != 'all' and task not in TASKS):
    raise ValueError(
      f"config.data.split: found {split!r}; expected '<task>/<split>' with a "
      f"task of {['all', *TASKS]}, such as 'mrpc/train'."
    )
  found = []
  for name in TASKS if task == 'all' else [task]:
    if name == 'mnli' and part == 'validation':
      found += [(name, 'validation_matched'), (name, _MISMATCHED)]
    else:
      found.append((name, part))
  return found


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  length: int,
  begin_with_cls: bool,
  tokenizer_model: str | None,
) -> dict[str, np.ndarray]:
  """The texts as one sequence of M tokens, with [SEP] between two.

  Of a pair too long the longer text is cut until it fits. The paper does not
  say how pairs are joined, nor how they are cut.

  Args:
    example: of `source` or `synthetic`.
    train: not used.
    rng: not used.
    length: M.
    begin_with_cls: whether [CLS] comes first.
    tokenizer_model: what `make_tokenizer` takes.

  Returns:
    `ids` int32 [M], `input_mask` float32 [M], `label` float32 [] (a class or a
    score), `task` int32 [] and `mismatched` float32 [] (of MNLI's).
  """
  del train, rng
  tokenizer = make_tokenizer(tokenizer_model)
  encoded = [tokenizer.encode(text.as_text(t)) for t in example['texts']]
  encoded = fit(encoded, length - (len(encoded) - 1) - begin_with_cls)
  ids = [np.int32([tokenizer.cls_id])] if begin_with_cls else []
  for i, tokens in enumerate(encoded):
    ids += [np.int32([tokenizer.sep_id])] * (i > 0) + [tokens]
  ids = np.concatenate(ids)
  return {
    'ids': text.pad(ids, length, tokenizer.pad_id),
    'input_mask': text.pad(np.ones(len(ids), np.float32), length, 0),
    'label': np.float32(example['label']),
    'task': np.int32(example['task']),
    'mismatched': np.float32(example['mismatched']),
  }


def fit(texts: list[np.ndarray], length: int) -> list[np.ndarray]:
  """Cuts the ends of the longest of one or two texts to a common length."""
  if len(texts) == 1:
    return [texts[0][:length]]
  first, second = texts
  half = length // 2
  if len(first) <= half:
    return [first, second[: length - len(first)]]
  if len(second) <= length - half:
    return [first[: length - len(second)], second]
  return [first[:half], second[: length - half]]


def _labelled(task: str, part: str) -> dict[str, Any]:
  return {'task': list(TASKS).index(task), 'mismatched': part == _MISMATCHED}


class _Texts(Sequence):
  """TFDS's examples with their texts under one name."""

  def __init__(self, examples, names: tuple[str, ...]):
    self._examples, self._names = examples, names

  def __len__(self) -> int:
    return len(self._examples)

  def __getitem__(self, index: int) -> dict[str, Any]:
    text.check_index(self, index)
    example = self._examples[index]
    return {
      'texts': [example[name] for name in self._names],
      'label': example['label'],
    }


def main(argv: list[str]):
  parser = tfds_source.preparation_parser(__name__, 'Prepares GLUE.')
  args = parser.parse_args(argv)
  tfds_source.require_tensorflow('GLUE')
  for task in TASKS:
    tfds_source.prepare(functools.partial(tfds.builder, f'glue/{task}'), args)
