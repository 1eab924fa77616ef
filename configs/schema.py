"""What options may be: one rule a kind of option, for every config.

An option is known by its path, `optim.schedule.lr`, or by the end of it, `lr`.
The first rule that knows it holds; of a tuple each element is checked. A test
sees that every number and every choice in every config has a rule, so that a
new option is declared here, and only here.
"""

import dataclasses
import importlib
import importlib.util
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Rule:
  """Attributes:
  expected: in words.
  holds: value -> whether it is so.
  optional: whether None is fine, too.
  """

  expected: str
  holds: Callable[[Any], bool]
  optional: bool = False


def number(
  low: float = -math.inf,
  high: float = math.inf,
  *,
  above: float | None = None,
  below: float | None = None,
  whole: bool = False,
  optional: bool = False,
) -> Rule:
  """A finite number from `low` to `high`, above `above` and below `below`."""
  words = ['a whole number' if whole else 'a number']
  if above is not None:
    words.append(f'above {above:g}')
  elif low > -math.inf:
    words.append(f'from {low:g}')
  if below is not None:
    words.append(f'below {below:g}')
  elif high < math.inf:
    words.append(f'to {high:g}')

  def holds(x):
    return (
      isinstance(x, int if whole else int | float)
      and not isinstance(x, bool)
      and math.isfinite(x)
      and low <= x <= high
      and (above is None or x > above)
      and (below is None or x < below)
    )

  return Rule(' '.join(words), holds, optional)


def whole(low: int, high: float = math.inf, optional: bool = False) -> Rule:
  return number(low, high, whole=True, optional=optional)


def choice(*values: str, optional: bool = False) -> Rule:
  return Rule(
    'one of ' + ', '.join(map(repr, values)), lambda x: x in values, optional
  )


def _is_expression(x) -> bool:
  try:
    re.compile(x)
  except (re.error, TypeError):
    return False
  return True


def _is_module(x) -> bool:
  try:
    return importlib.util.find_spec(x) is not None
  except (ImportError, ValueError, AttributeError):
    return False


def _is_function(x) -> bool:
  module, dot, name = str(x).rpartition('.')
  found = bool(dot) and _is_module(module)
  return found and hasattr(importlib.import_module(module), name)


EXPRESSION = Rule('a regular expression', _is_expression)
MODULE = Rule("a module's dotted name", _is_module)
FUNCTION = Rule("a function's dotted name", _is_function)
POSITIVE = number(above=0)
NOT_NEGATIVE = number(0)
SHARE = number(0, 1)
SHARE_BELOW_1 = number(0, below=1)

# Options that are several expressions: a text would be one for each letter.
_SEVERAL = 'decay_exclude', 'exclude'
# Options from which numbers are drawn: (lowest, highest).
_RANGES = 'scale', 'log_scale', 'crop_range'

# Expressions that the whole path, or what follows one of its dots, must match.
RULES: tuple[tuple[str, Rule], ...] = (
  ('seed', whole(0, 2**32 - 1)),
  ('permutation_seed', whole(0, 2**32 - 1, optional=True)),
  ('side', whole(1, optional=True)),
  # How long, how often, how many at once.
  ('num_steps|every_steps|log_every_steps|update_every_steps', whole(1)),
  ('warmup_steps|flat_steps|num_threads|num_workers', whole(0)),
  ('boundaries', SHARE),
  (r'derive\.epochs', POSITIVE),
  (r'derive\.min_steps|derive\.num_evaluations', whole(1)),
  (r'derive\.warmup_share', SHARE_BELOW_1),
  ('stereo_share', SHARE),
  ('batch_size|keep_last|num_microbatches', whole(1)),
  (
    r'mesh\..*',
    Rule(
      'a whole number from 1, or -1 for all that is left',
      lambda x: isinstance(x, int) and (x == -1 or x > 0),
    ),
  ),
  # The optimizer.
  ('optim.name', choice('adamw', 'lamb')),
  ('decay', choice('constant', 'cosine', 'polynomial', 'step')),
  ('lr|eps|power|factor', POSITIVE),
  ('end_lr|warmup_lr|weight_decay', NOT_NEGATIVE),
  ('b1|b2', SHARE_BELOW_1),
  ('clip_norm', number(above=0, optional=True)),
  ('layer_decay', number(above=0, high=1, optional=True)),
  ('ema_decay', number(above=0, below=1, optional=True)),
  ('decay_exclude|exclude|frozen|layers', EXPRESSION),
  # What is kept.
  ('best_mode', choice('max', 'min')),
  ('patience', whole(1, optional=True)),
  # What is built of what.
  (r'(task|data|evals\.[^.]+(\.data)?)\.module', MODULE),
  ('make_[a-z_]*', FUNCTION),
  ('source', choice('real', 'synthetic')),
  (
    'dtype',
    choice('float32', 'bfloat16', 'float16', 'float64', optional=True),
  ),
  ('implementation', choice('auto', 'plain', 'chunked', 'cudnn', 'splash')),
  (
    'remat_policy',
    choice(
      'everything_saveable',
      'nothing_saveable',
      'dots_saveable',
      'dots_with_no_batch_dims_saveable',
    ),
  ),
  (r'task\.kind', choice('classes', 'numbers')),
  # Statistics of the data.
  ('mean|low|high|y_mean', number()),
  ('std|y_std', POSITIVE),
  ('shift', NOT_NEGATIVE),
  # The model's and the data's sizes.
  (r'num_clusters|min_overlap|num_pictures', whole(0)),
  (r'augment\.num_layers', whole(0)),
  (
    'blocks_per_assignment|position_grid|window|stride|num_tiles|'
    r'task\.(num_queries|max_masked)|preprocess\.num_frames',
    whole(1, optional=True),
  ),
  # None: sound alone; as many as needed; those of the pretrained model.
  ('num_frames|num_tiles|num_queries', whole(1, optional=True)),
  (r'model\.channels', whole(1, optional=True)),  # None: inputs as they are
  (
    r'num_(?!steps)[a-z_]*|(?!loss_)[a-z_]*channels|depths|kernel_size',
    whole(1),
  ),
  ('image_size|crop_size|size|tile_size|video_size|erase_sides', whole(1)),
  ('size_multiple|patch_size|spatial_patch|samples_per_patch', whole(1)),
  ('spatial|temporal|tubelet_frames|frame_stride|fps|rate|hop', whole(1)),
  ('frames_per_patch', whole(1)),
  ('radius|rank', whole(1)),
  ('max_time|max_bands|max_cutouts', whole(0)),
  ('hidden', choice('image', 'audio')),
  ('[a-z]+_bands|max_resolution|max_length|max_entities|length', whole(1)),
  ('vocab_sizes?|(self_attend_)?widening_factor|bounds', whole(1)),
  ('mlp_ratio|decode_mib|input_scale|mean_depth|scale|fps|gain', POSITIVE),
  ('embedding_stddev', POSITIVE),
  ('fill', number(0, 255)),
  # Detection's.
  ('max_boxes|group_size|long_side|(crop_)?short_sides|crop_range', whole(1)),
  (r'detector\.(candidates|max_detections)', whole(1)),
  ('anchor_scale', POSITIVE),
  ('flip_rate|min_score', SHARE),
  # Chances and weights.
  ('[a-z_]*prob|mask_rate|label_mask_rate|variance_focus', SHARE),
  ('drop_path_rate|dropout_rate|label_smoothing', SHARE_BELOW_1),
  (r'dropout\..*', SHARE_BELOW_1),
  ('crop_fraction|max_share', number(above=0, high=1)),
  (r'[a-z]+_alpha|[a-z]+_weight|loss_weights\..*|severity', NOT_NEGATIVE),
  (
    'color_jitter|magnitude|magnitude_std|degrees|translate|log_stretch|'
    'max_motion',
    NOT_NEGATIVE,
  ),
  ('color_jitter|brightness|contrast|saturation|hue', NOT_NEGATIVE),
  ('log_scale|input_shift', number()),
  (r'num_points\..*', whole(1)),
)


def rule_of(path: str) -> Rule | None:
  """The rule for the option at a path, None if there is none."""
  for pattern, rule in RULES:
    if re.fullmatch(rf'(.*\.)?({pattern})', path):
      return rule
  return None


def expected(path: str) -> str:
  """What the option at a path may be, in words; '' if nothing is said."""
  rule = rule_of(path)
  return rule.expected if rule else ''


def options(config: Mapping, path: str = '') -> Iterator[tuple[str, Any]]:
  """(path, value) of each option of nested sections."""
  for key, value in config.items():
    if isinstance(value, Mapping) or hasattr(value, 'items'):
      yield from options(value, f'{path}{key}.')
    else:
      yield f'{path}{key}', value


def check(config: Mapping) -> None:
  """Sees that each option is what its rule says.

  Beside a section `derive` None is fine: it is derived from the data.

  Raises:
    ValueError: names an option that is not, what it is and what it may be.
  """
  to_derive = 'derive' in config  # What is None follows from the data.
  # What others are computed from comes first, lest they be named in its place.
  order = sorted(
    options(config), key=lambda x: (x[0] != 'num_steps', x[0].count('.'))
  )
  for path, value in order:
    if value is None and to_derive:
      continue
    name = path.rpartition('.')[2]
    if name in ('sharding', 'lr_multipliers'):
      _check_pairs(path, value)
    elif name in _SEVERAL and not isinstance(value, tuple | list):
      raise ValueError(
        f'config.{path}: found {value!r}; expected a tuple, ({value!r},).'
      )
    elif (rule := rule_of(path)) is not None:
      _check_value(path, value, rule)
  best = config.get('checkpoint', {}).get('best_metric')
  evaluator = (best or '').partition('/')[0]
  if best and evaluator not in config.get('evals', {}):
    raise ValueError(
      f'config.checkpoint.best_metric: found {best!r}; expected '
      f'<evaluation>/<metric>, of one of {sorted(config.evals)}.'
    )


def _check_value(path: str, value: Any, rule: Rule) -> None:
  if isinstance(value, tuple | list):
    for x in value:
      _check_value(path, x, rule)
    is_range = path.rpartition('.')[2] in _RANGES
    if is_range and (len(value) != 2 or value[0] > value[1]):
      raise ValueError(
        f'config.{path}: found {value!r}; expected (lowest, highest).'
      )
  elif not (rule.optional and value is None) and not rule.holds(value):
    raise ValueError(
      f'config.{path}: found {value!r}; expected {rule.expected}.'
    )


def _check_pairs(path: str, pairs: Any) -> None:
  """Rules by regular expression, (expression, what is done)."""
  for pair in pairs:
    if not isinstance(pair, tuple | list) or not pair:
      raise ValueError(
        f'config.{path}: found {pair!r}; expected (regular expression, ...).'
      )
    _check_value(path, pair[0], EXPRESSION)
    if path.endswith('lr_multipliers'):
      _check_value(path, pair[1:], NOT_NEGATIVE)
