"""Masked language modelling, from bytes or SentencePiece tokens.

  python train.py --workdir=runs/mlm \
    --config=configs/perceiver_io/masked_language_modelling.py:demo

`base_bytes`, `plus_plus`, `bytes_128x1920` and `bytes_512x896` read 2,048
bytes, `base_sentencepiece` 512 tokens, and needs
--config.data.preprocess.tokenizer_model; docs/paper-tables.md has what was
published. The recipe (Jaegle et al. 2021b, appendix F, tables 11, 12, 15): C4
and Wikipedia, 500,000 steps of batches of 2,048. Not trained here. The paper
leaves open LAMB's betas and epsilon (taken from the authors' ImageNet program)
and what is decayed (everything but biases and norms). It splits packs of ten
documents into crops; here a pack gives one crop an epoch, drawn anew each time,
since how long stored documents are is not known before they are read.

`demo` reads Python's documentation, 64 bytes at a time; docs/results.md says
what it learns. `manuals` reads those of Perl, Python and Vim, 15 times as much,
which `data/language/manuals.py` says how to get, and has the sizes of the zoo's
`masked_bytes`, to go on from it. `manuals_deep` goes on from there: four layers
more begin anew, and nothing is decoded but what is masked. `tiny` is for tests.
"""

import ml_collections

from configs import common
from perceiver_io import variants

PERCEIVER = 'perceiver_io.models.masked_language_modelling'
MODELS = {
  name: sizes
  | dict(
    implementation='auto',  # of attention
    scan_layers=False,  # True compiles several times faster
    remat_policy='everything_saveable',
  )
  for name, sizes in variants.LANGUAGE.items()
}
VARIANTS = (*MODELS, 'demo', 'manuals', 'manuals_deep', 'tiny')

# What `python -m tools.compile_check` compiles, and with which options.
_TPU = {'model.scan_layers': True, 'optim.num_microbatches': 2}
TPU_TOPOLOGIES = {
  'base_bytes': ('v5e:8x8', _TPU),
  'base_sentencepiece': ('v5e:8x8', _TPU | {'optim.num_microbatches': 4}),
  'plus_plus': ('v5e:8x8', _TPU | {'mesh.fsdp': 8}),
  'bytes_128x1920': ('v5e:8x8', _TPU | {'mesh.fsdp': 8}),
  'bytes_512x896': ('v5e:8x8', _TPU | {'optim.num_microbatches': 4}),
}


def get_config(variant: str = 'base_bytes') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  if variant not in MODELS:
    return _documentation(variant)
  return pretraining(PERCEIVER, MODELS[variant])


def pretraining(make_model: str, model: dict) -> ml_collections.ConfigDict:
  """The published recipe, for any model of `max_length` tokens.

  Args:
    make_model: dotted name of what builds it.
    model: its arguments.
  """
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = 500_000
  config.task = dict(
    module='perceiver_io.tasks.masked_language_modelling',
    make_model=make_model,
    unmasked_weight=0.0,
    # 15 % are masked. None decodes all, which takes longer to the same end.
    max_masked=ml_collections.config_dict.placeholder(int),
  )
  config.task.max_masked = model['max_length'] // 4
  config.model = dict(model, dtype=ml_collections.config_dict.placeholder(str))
  module = 'data.language.c4_wikipedia'
  config.data = _data(module, 'train', 2048, model['max_length'])
  config.evals = _evals(
    dict(split='validation'), every_steps=10_000, num_fit_examples=20_000
  )
  config.optim = common.adamw(lr=1.25e-3, warmup_steps=1_000)
  config.optim.update(name='lamb', eps=1e-6, weight_decay=0.01)
  config.checkpoint = common.checkpoint(
    every_steps=5_000, best_metric='validation/loss', best_mode='min'
  )
  config.log_every_steps = 100
  config.update(common.parallel())
  config.init_from = common.from_scratch()
  return config


def _documentation(variant: str) -> ml_collections.ConfigDict:
  """A model that reads 64 bytes.

  What differs from the published recipe, so that minutes are enough: AdamW
  (LAMB moves the learned positions, which begin near zero, too slowly), twice
  the words masked, tokens that are not masked count, too, and embeddings begin
  as small as positions.
  """
  config = pretraining(
    PERCEIVER,
    dict(
      vocab_size=262,
      max_length=64,
      token_channels=64,
      num_latents=32,
      latent_channels=128,
      qk_channels=64,
      num_heads=4,
      num_self_attends=2,
      embedding_stddev=0.02,
      implementation='auto',
      scan_layers=False,
      remat_policy='everything_saveable',
    ),
  )
  config.task.update(unmasked_weight=0.3, max_masked=None)
  config.num_steps = 14_000
  config.data = _data('data.language.python_docs', 'train', 32, 64)
  config.evals = _evals(
    dict(split='test', batch_size=64),
    every_steps=1_000,
    num_fit_examples=10_000,
  )
  if variant != 'manuals_deep':  # which masks as published
    config.data.preprocess.mask_rate = 0.3
    for section in config.evals.values():
      section.data.preprocess = dict(mask_rate=0.15)
  config.optim = common.adamw(lr=3e-3, warmup_steps=200)
  config.optim.update(weight_decay=0.01, clip_norm=1.0)
  config.checkpoint.every_steps = 1_000
  config.log_every_steps = 100
  if variant.startswith('manuals'):
    config.model.update(qk_channels=256, num_heads=8)
    config.num_steps = 68_000
    for section in config.evals.values():
      section.every_steps = 4_000
    config.checkpoint.every_steps = 4_000
    config.data.module = 'data.language.manuals'
    config.optim.schedule.lr = 2e-3
  if variant == 'manuals_deep':
    config.model.num_self_attends = 6
    config.init_from.exclude = ('self_attend_[2-5]',)
    config.task.update(unmasked_weight=0.0, max_masked=20)
    config.num_steps = 56_000
    config.optim.schedule.lr = 9e-4
  if variant == 'tiny':
    config.model.update(
      token_channels=16,
      num_latents=8,
      latent_channels=16,
      qk_channels=16,
      num_self_attends=1,
    )
    config.num_steps, config.log_every_steps = 4, 1
    config.optim.schedule.warmup_steps = 1
    config.checkpoint.every_steps = 2
    config.data.source = 'synthetic'
  return config


def _data(module: str, split: str, batch_size: int, length: int) -> dict:
  return common.data(
    module,
    split=split,
    batch_size=batch_size,
    # A SentencePiece model's file; None for bytes.
    tokenizer_model=ml_collections.config_dict.placeholder(str),
    length=length,
    mask_rate=0.15,
  )


def _evals(data: dict, every_steps: int, num_fit_examples: int) -> dict:
  return dict(
    validation=dict(
      module='train_lib.evaluate', every_steps=every_steps, data=data
    ),
    baselines=dict(
      module='perceiver_io.evaluators.masked_baselines',
      every_steps=every_steps,
      data={k: v for k, v in data.items() if k != 'batch_size'},
      fit=dict(split='train', num_examples=num_fit_examples),
    ),
  )
