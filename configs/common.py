"""What many configs share: a function each, one level deep."""

import ml_collections


def adamw(**schedule) -> ml_collections.ConfigDict:
  """AdamW as timm sets it up: biases, norms and other vectors do not decay."""
  return ml_collections.ConfigDict(
    dict(
      name='adamw',
      b1=0.9,
      b2=0.999,
      eps=1e-8,
      weight_decay=0.05,
      decay_exclude=('bias$', 'scale$'),
      clip_norm=ml_collections.config_dict.placeholder(float),
      lr_multipliers=(),
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


def data_parallel() -> dict:
  """Sections `mesh` and `sharding`: the batch over all devices.

  With --config.mesh.fsdp=N parameters and optimizer states are split over N
  of them, too.
  """
  return dict(mesh=dict(data=-1, fsdp=1), sharding=(('.*', 'fsdp'),))
