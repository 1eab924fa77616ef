"""BERT, as Perceiver IO is compared with it (Jaegle et al. 2021b, table 1).

  python train.py --config=configs/baselines/bert.py:bytes --workdir=runs/bert

| variant | tokens | layers x channels | parameters | GLUE dev average (paper) |
|---|---|---|---|---|
| base | 512 SentencePiece | 12 x 768 | 110M | 81.14 |
| bytes | 2,048 bytes | 6 x 512 | 20M | 71.45 |

Perceiver IO's own recipe. Not trained here. `base` needs
--config.data.preprocess.tokenizer_model, and the same of the evaluations.
"""

import ml_collections

from configs.perceiver_io import masked_language_modelling as mlm

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

# What `python -m tools.compile_check` compiles, and with which options.
TPU_TOPOLOGIES = {
  variant: (
    'v5e:8x8',
    {'model.scan_layers': True, 'optim.num_microbatches': 2},
  )
  for variant in MODELS
}


def get_config(variant: str = 'bytes') -> ml_collections.ConfigDict:
  if variant not in MODELS:
    raise ValueError(
      f'variant: found {variant!r}; expected one of {list(MODELS)}.'
    )
  return mlm.pretraining('baselines.bert.Bert', MODELS[variant])
