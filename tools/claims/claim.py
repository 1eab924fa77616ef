"""What a claim is, and what may be said of it."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

HOLDS = 'holds'
IN_PART = 'holds in part'
NOT = 'does not hold'
UNKNOWN = 'cannot be told here'
OPEN = 'not measured yet'
VERDICTS = HOLDS, IN_PART, NOT, UNKNOWN, OPEN
# A linear model's accuracy on the pixels of the same digits, as
# results/digits_paca.json has it.
_LINEAR = 0.89

# By measurement: its values; of a study setting -> a value for each seed.
Found = Mapping[str, Mapping[str, Any]]


class Judgement(NamedTuple):
  """A verdict, and in words what was measured or why it was not."""

  verdict: str
  measured: str


class Claim(NamedTuple):
  """Attributes:
  name: of the row.
  text: the claim in our words.
  source: where the papers say it.
  published: their figure, '' if they give none.
  needs: the measurements that it is judged by.
  judge: what they found -> judgement; only called when all are there.
  """

  name: str
  text: str
  source: str
  published: str
  needs: tuple[str, ...]
  judge: Callable[[Found], Judgement]


def verdict(holds: bool, otherwise: str = NOT) -> str:
  return HOLDS if holds else otherwise


def if_learned(
  study: str, settings: Sequence[str], judge: Callable[[Found], Judgement]
) -> Callable[[Found], Judgement]:
  """Of models of digits that a claim compares, none may be behind a linear one.

  If all are, nothing is told; if some are, which are named, the claim holds in
  part at most.
  """

  def judged(found: Found) -> Judgement:
    judgement = judge(found)
    means = {name: statistics.mean(found[study][name]) for name in settings}
    behind = [name for name, mean in means.items() if mean <= _LINEAR]
    if not behind:
      return judgement
    if len(behind) == len(means):
      verdict, who = UNKNOWN, 'none reached'
    else:
      verdict, who = judgement.verdict, f'{", ".join(behind)} did not reach'
      verdict = IN_PART if verdict == HOLDS else verdict
    return Judgement(
      verdict,
      f'{judgement.measured}. In so few steps {who} the {_LINEAR} of a linear '
      'model of the pixels: who learns first is told, not who is best',
    )

  return judged
