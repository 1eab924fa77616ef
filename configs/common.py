"""What many configs share: a function each, one level deep."""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import ml_collections

# A number of a config, or what is computed from one: it follows when --config
# sets the number.
Reference = ml_collections.FieldReference


# What timm's recipes do to the images of a batch, see `train_lib.mixing`.
MIXING = dict(
  mixup_alpha=0.8,
  cutmix_alpha=1.0,
  prob=1.0,
  switch_prob=0.5,
  erasing_prob=0.25,
)


def check_variant(variant: str, variants: Iterable[str]) -> None:
  """Raises a ValueError that names all if `variant` is none of them."""
  if variant not in variants:
    raise ValueError(
      f'variant: found {variant!r}; expected one of {list(variants)}.'
    )


def adamw(**schedule) -> ml_collections.ConfigDict:
  """AdamW as timm sets it up: biases, norms and other vectors do not decay."""
  config = ml_collections.ConfigDict(
    dict(
      name='adamw',
      b1=0.9,
      b2=0.999,
      eps=1e-8,
      weight_decay=0.05,
      decay_exclude=(r'bias$', r'scale\d?$'),
      clip_norm=ml_collections.config_dict.placeholder(float),
      lr_multipliers=(),
      layer_decay=ml_collections.config_dict.placeholder(float),
      layers=(),
      frozen=(),
      ema_decay=ml_collections.config_dict.placeholder(float),
      num_microbatches=1,
      schedule=dict(
        decay='cosine',
        lr=1e-3,
        end_lr=0.0,
        warmup_steps=0,
        warmup_lr=0.0,
        flat_steps=0,
        decay_starts_at_zero=False,
        update_every_steps=1,
      )
      | schedule,
    )
  )
  if config.schedule.decay == 'step':
    del config.schedule.end_lr  # It ends where its factors lead.
  return config


# What a layer computes in parts, heads and the hidden channels of its MLP, by
# the names of both families and of the baselines.
_LAYER = r'(self_attend|block|layer)_\d+/'
_QKV = rf'{_LAYER}(attention/)?(query|key|value)'
_HIDDEN = rf'{_LAYER}mlp[/_](hidden|fc1|spatial)'
_OUTPUT = rf'{_LAYER}((attention/)?out(put)?|mlp[/_](output|fc2))'
_TENSOR_PARALLEL = (
  (rf'{_QKV}/kernel', (None, 'tensor'), 'fsdp'),
  (rf'{_QKV}/bias', ('tensor',)),
  (r'mlp/spatial/kernel', (None, None, 'tensor'), 'fsdp'),
  (rf'{_HIDDEN}/kernel', (None, 'tensor'), 'fsdp'),
  (rf'{_HIDDEN}/bias', ('tensor',)),
  (rf'{_OUTPUT}/kernel', ('tensor',), 'fsdp'),
)


def parallel() -> dict:
  """Sections `mesh` and `sharding`: the batch over all devices.

  With --config.mesh.fsdp=N parameters and optimizer states are split over N
  of them, too; with --config.mesh.tensor=N the heads and MLP widths of layers,
  and with --config.mesh.inputs=N the inputs and queries of each example.
  """
  return dict(
    mesh=dict(data=-1, fsdp=1, tensor=1, inputs=1),
    sharding=(*_TENSOR_PARALLEL, ('.*', 'fsdp')),
  )


def data(module: str, split: str, batch_size: int, **preprocess) -> dict:
  """Batches of `batch_size` examples over all devices and processes.

  `preprocess` goes to the module's `preprocess`. Evaluators read the same but
  for what their own `data` names.
  --config.data.source=synthetic reads made-up examples in the real format.
  """
  return dict(
    module=module,
    split=split,
    source='real',
    data_dir=ml_collections.config_dict.placeholder(str),  # TFDS's default
    preprocess=preprocess,
    batch_size=batch_size,
    num_threads=4,  # each makes a batch ahead of time
    num_workers=0,  # processes; threads suffice where decoding dominates
  )


def num_batches(num_examples: int, batch_size: Reference) -> Reference:
  """Whole batches in so many examples, at least one; follows the batch size."""
  return _computed(functools.partial(_num_batches, num_examples), batch_size)


def part(steps: Reference, divisor: int = 1) -> Reference:
  """One of `divisor` equal parts, rounded up; follows `steps`.

  With a divisor of 1 a number of its own: --config may set it alone.
  """
  return _computed(functools.partial(_part, divisor), steps)


def _num_batches(num_examples, batch_size):
  return max(1, num_examples // max(1, batch_size))


def _part(divisor, steps):
  return -(-steps // divisor)


class _Operation(NamedTuple):
  """What a reference computes of another one."""

  fn: Callable
  args: tuple = ()


def _computed(fn, reference) -> Reference:
  return Reference(reference, op=_Operation(fn))


def scaled(lr: float, batch_size: Reference, per: int) -> Reference:
  """A rate for batches of `per`, in proportion to the batch size."""
  return batch_size.to_float() * (lr / per)


# From the first layer to the last, for `optim.layer_decay`.
PACA_LAYERS = r'/stem/', r'/(?:stage|transition)_(\d+)(?:_block_(\d+))?'
PERCEIVER_LAYERS = (
  r'^inputs/',
  r'^encoder/(?:latents|cross_attend)',
  r'^encoder/self_attend_(\d+)',
  r'^(?:query|queries|decoder)/',
)


def checkpoint(every_steps: int, best_metric: str, best_mode='max') -> dict:
  """Keeps the last two checkpoints, and the best by an evaluation's metric.

  With --config.checkpoint.patience=N the run ends when N evaluations in a row
  were not better than the best.
  """
  return dict(
    every_steps=every_steps,
    keep_last=2,
    best_metric=best_metric,
    best_mode=best_mode,
    patience=ml_collections.config_dict.placeholder(int),
  )


def derive(*outputs: str, epochs: float = 20.0) -> dict:
  """What is taken from somebody's own data, see `train_lib/run_files.py`.

  Args:
    *outputs: names of the options that are the number of outputs.
    epochs: that are trained, if they are as many as `min_steps`.
  """
  return dict(
    epochs=epochs,
    min_steps=200,
    warmup_share=0.1,
    num_evaluations=10,
    linear_probe=False,
    outputs=outputs,
  )


class _Off(ml_collections.FieldReference):
  """None, of a section; it knows what the section would be."""

  def __init__(self, section: dict):
    super().__init__(None, field_type=ml_collections.ConfigDict)
    self.section = section


def off(**section) -> ml_collections.FieldReference:
  """A section that is off: None.

  An option of it on the command line, --config.task.mixing.mixup_alpha=0.2,
  makes it `section` with that option. What is on is switched off by
  --config.task.mixing=None.
  """
  return _Off(section)


def from_scratch() -> dict:
  """Section `init_from`: no weights are loaded unless --config says which."""
  return dict(path='', exclude=())
