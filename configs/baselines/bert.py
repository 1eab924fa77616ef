"""BERT, as Perceiver IO is compared with it (Jaegle et al. 2021b, table 1).

  python train.py --config=configs/baselines/bert.py:bytes --workdir=runs/bert

`base` has 12 layers of 768 channels and reads 512 SentencePiece tokens, `bytes`
6 of 512 and reads 2,048 bytes; docs/paper-tables.md has what was published.
Perceiver IO's own recipe. Not trained here. `base` needs
--config.data.preprocess.tokenizer_model. `demo` has the data, steps and
optimizer of Perceiver IO's `demo` and takes 7 % more operations: docs/claims.md
compares the two. `tiny` is for tests.
"""

import ml_collections

from configs import common
from configs.perceiver_io import masked_language_modelling as mlm

BERT = 'baselines.bert.Bert'
MODELS = {
  'base': dict(
    vocab_size=32_000,
    max_length=512,
    channels=768,
    num_layers=12,
    num_heads=12,
    mlp_channels=3072,
    scan_layers=False,  # True compiles several times faster
  ),
  'bytes': dict(
    vocab_size=262,
    max_length=2048,
    channels=512,
    num_layers=6,
    num_heads=8,
    mlp_channels=2048,
    scan_layers=False,
  ),
}
# On 64 bytes.
_SMALL = {
  'demo': dict(channels=64, num_layers=3, num_heads=4, mlp_channels=256),
  'tiny': dict(channels=16, num_layers=1, num_heads=2, mlp_channels=32),
}
VARIANTS = (*MODELS, *_SMALL)

# What `python -m tools.compile_check` compiles, and with which options.
TPU_TOPOLOGIES = {
  variant: (
    'v5e:8x8',
    {'model.scan_layers': True, 'optim.num_microbatches': 2},
  )
  for variant in MODELS
}


def get_config(variant: str = 'bytes') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  if variant in MODELS:
    return mlm.pretraining(BERT, MODELS[variant])
  config = mlm.get_config(variant)
  config.task.make_model = BERT
  config.model = MODELS['bytes'] | dict(max_length=64) | _SMALL[variant]
  config.model.dtype = ml_collections.config_dict.placeholder(str)
  return config
