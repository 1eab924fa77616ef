"""Rules by which claims on models that are compared are judged.

Values are of several seeds; of a difference it is its 95 % interval that
counts.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tools.claims.claim import HOLDS, IN_PART, NOT, UNKNOWN, Found, Judgement
from tools.claims.figures import Interval, difference, interval


class Simple(NamedTuple):
  """What a model must be better than, to be one that learned.

  Attributes:
  value: of the study's metric.
  whose: in words, and where it stands.
  is_loss: whether less is better.
  """

  value: float
  whose: str
  is_loss: bool = False


# As results/digits_paca.json has it.
LINEAR = Simple(0.89, 'of a linear model of the pixels')
# As results/chess_perceiver.json has it.
FREQUENT_MOVE = Simple(0.16, 'of the most frequent legal move')
# Of the test's masked bytes, by the frequencies of 10,000 examples' to train.
FREQUENT_BYTES = Simple(3.336, "of the bytes' frequencies", is_loss=True)
# Of the same test pairs, as results/flow.json has it.
NO_MOTION = Simple(2.56, 'of no motion', is_loss=True)


def if_learned(
  study: str,
  settings: Sequence[str],
  judge: Callable[[Found], Judgement],
  simple: Simple,
) -> Callable[[Found], Judgement]:
  """Of the models that a claim compares none may be behind a simple one.

  If all are, nothing is told; if some are, which are named, the claim holds in
  part at most.
  """
  sign = -1 if simple.is_loss else 1

  def judged(found: Found) -> Judgement:
    judgement = judge(found)
    means = {name: statistics.mean(found[study][name]) for name in settings}
    behind = [
      name for name, mean in means.items() if sign * mean <= sign * simple.value
    ]
    if not behind:
      return judgement
    if len(behind) == len(means):
      verdict, who = UNKNOWN, 'none reached'
    else:
      verdict, who = judgement.verdict, f'{", ".join(behind)} did not reach'
      verdict = IN_PART if verdict == HOLDS else verdict
    return Judgement(
      verdict,
      f'{judgement.measured}. In so few steps {who} the {simple.value} '
      f'{simple.whose}: who learns first is told, not who is best',
    )

  return judged


def listed(values, unit='') -> str:
  return '; '.join(f'{name} {interval(x)}{unit}' for name, x in values.items())


def no_worse(delta: Interval, margin: float) -> str:
  """Of better minus worse, which must not be below -margin."""
  if delta.low >= -margin:
    return HOLDS
  return NOT if delta.high < -margin else IN_PART


def better(delta: Interval) -> str:
  if delta.low > 0:
    return HOLDS
  return NOT if delta.mean <= 0 else IN_PART


def compared(
  study: str,
  first: str,
  second: str,
  decide: Callable[[Interval], str],
  simple: Simple | None = None,
) -> Callable[[Found], Judgement]:
  """Judges by first minus second, seed by seed, if both are better than simple
  ones."""

  def judge(found: Found) -> Judgement:
    values = found[study]
    delta = difference(values[first], values[second])
    return Judgement(
      decide(delta), f'{listed(values)}. {first} - {second}: {delta}'
    )

  if simple is None:
    return judge
  return if_learned(study, (first, second), judge, simple)
