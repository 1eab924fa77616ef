"""Behavioural cloning on sets of entities, and on chess positions.

  python train.py --config=configs/perceiver_io/starcraft.py:demo \
    --workdir=runs/chess

A policy around an encoder: a Perceiver IO of 32 latents and 3 layers here, the
Transformer that it replaces in configs/baselines/entity_transformer.py. Both
reach the same win rate within AlphaStar, which is not public (Jaegle et al.
2021b, table 9; docs/paper-tables.md). The paper leaves the latents' channels
open (512 here) and refers to ImageNet for the rest, which is where the
optimizer is from; vocabularies, locations, batch and steps depend on the game
records. Not trained here.

Variants: `starcraft`, on what data/entities/entities.py describes; `chess` or
`demo`, on positions of an opening book, 10,000 steps of 32, the same recipe for
both encoders (docs/results.md); `tiny` for tests.
"""

import ml_collections

from configs import common
from perceiver_io import variants

PERCEIVER = 'perceiver_io.entities.make_perceiver'
VARIANTS = 'starcraft', 'chess', 'demo', 'tiny'
_CHESS = 'data.entities.chess_openings'

# What `python -m tools.compile_check` compiles, and with which options.
TPU_TOPOLOGIES = {'starcraft': ('v5e:2x4', {})}


def get_config(variant: str = 'starcraft') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  makers = dict(starcraft=starcraft, chess=chess, demo=chess, tiny=_tiny)
  return makers[variant](PERCEIVER, _perceiver(variant == 'starcraft'))


def _perceiver(full_size: bool) -> dict:
  if full_size:
    return variants.ENTITY_ENCODER | dict(fold_projections=True)
  return dict(
    num_latents=24,
    latent_channels=128,
    num_self_attends=3,
    num_self_attend_heads=4,
    num_cross_attend_heads=8,
    widening_factor=1,
    fold_projections=True,
  )


def starcraft(make_encoder: str, encoder: dict) -> ml_collections.ConfigDict:
  """The policy around any encoder of 512 entities.

  Args:
    make_encoder: dotted name of what builds the encoder.
    encoder: its arguments.
  """
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = 100_000
  config.task = dict(
    module='perceiver_io.tasks.behavioural_cloning', make_encoder=make_encoder
  )
  config.model = dict(
    encoder=encoder,
    vocab_sizes=(256, 8, 8),
    entity_channels=256,
    channels=256,
    num_locations=32 * 32,
    dtype=ml_collections.config_dict.placeholder(str),
  )
  _set_data(config, 'data.entities.entities', batch_size=512, max_entities=512)
  config.evals.test.every_steps = 5_000
  config.optim = common.adamw(lr=2e-3)
  config.optim.update(name='lamb', eps=1e-6, weight_decay=0.1, clip_norm=10.0)
  config.optim.schedule.flat_steps = config.get_ref('num_steps') // 2
  config.checkpoint = common.checkpoint(5_000, best_metric='test/accuracy')
  config.log_every_steps = 100
  config.update(common.parallel())
  config.init_from = common.from_scratch()
  return config


def chess(make_encoder: str, encoder: dict) -> ml_collections.ConfigDict:
  """The same of up to 32 pieces, in minutes; see `starcraft`."""
  config = starcraft(make_encoder, encoder)
  config.num_steps = 10_000
  config.model.update(
    vocab_sizes=(12, 64, 3), entity_channels=128, channels=128, num_locations=64
  )
  _set_data(config, _CHESS, batch_size=32, max_entities=32)
  config.evals.test.every_steps = 2_500
  config.evals.baselines = dict(
    module='perceiver_io.evaluators.legal_moves',
    every_steps=common.part(config.get_ref('num_steps')),
    data=dict(split='test'),
    fit_split='train',
  )
  config.evals.boards = dict(
    module='perceiver_io.evaluators.chess_boards',
    every_steps=common.part(config.get_ref('num_steps')),
    data=dict(split='test'),
    num_boards=8,
  )
  config.optim = common.adamw(lr=2e-3, warmup_steps=100)
  config.optim.clip_norm = 1.0
  config.checkpoint.every_steps = 2_500
  config.log_every_steps = 250
  return config


def _set_data(config, module: str, batch_size: int, max_entities: int) -> None:
  config.data = common.data(
    module,
    'train',
    batch_size,
    max_entities=max_entities,
    vocab_sizes=config.model.vocab_sizes,
  )
  config.evals = dict(
    test=dict(
      module='train_lib.evaluate', every_steps=0, data=dict(split='test')
    )
  )


def _tiny(make_encoder: str, encoder: dict) -> ml_collections.ConfigDict:
  config = chess(make_encoder, encoder)
  config.model.update(entity_channels=16, channels=16)
  config.num_steps, config.log_every_steps = 4, 1
  config.optim.schedule.warmup_steps = 1
  config.checkpoint.every_steps = 2
  config.data.source = 'synthetic'
  return config
