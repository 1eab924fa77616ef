"""What a claim is, and what may be said of it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

HOLDS = 'holds'
IN_PART = 'holds in part'
NOT = 'does not hold'
UNKNOWN = 'cannot be told here'
OPEN = 'not measured yet'
VERDICTS = HOLDS, IN_PART, NOT, UNKNOWN, OPEN
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
