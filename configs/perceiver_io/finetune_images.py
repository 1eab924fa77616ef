"""Perceiver IO on your own photographs, from weights of ImageNet.

  python train.py --config=configs/perceiver_io/finetune_images.py:conv \
    --config.data.data_dir=photos --config.init_from.path=WEIGHTS \
    --workdir=runs/photos

As configs/paca_vit/finetune.py, which says what is derived from the data.

Variants: the models of imagenet.py; `demo`, small, for images of 64 x 64 and
training from scratch on a CPU; `tiny` is for tests. Not a published recipe.
"""

import ml_collections
from ml_collections import config_dict

from configs import common
from configs.paca_vit import finetune
from configs.perceiver_io import imagenet, mnist5k

VARIANTS = (*imagenet.VARIANTS, 'demo', 'tiny')


def get_config(variant: str = 'conv') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  small = variant in ('demo', 'tiny')
  config = finetune.get_config('tiny' if variant == 'tiny' else 'demo')
  config.task.module = 'perceiver_io.tasks.classification'
  config.task.mixing = common.off(mixup_alpha=0.2)
  if small:
    config.model = mnist5k.get_config('fourier').model
    side = config.data.preprocess.image_size
    config.model.inputs.max_resolution = (side, side)
  else:
    config.model = imagenet.model(variant)
    config.data.preprocess.image_size = 224
    config.optim.schedule.lr = 1e-4
  config.model.num_classes = config_dict.placeholder(int)
  config.optim.update(name='lamb', eps=1e-6)
  config.optim.layers = common.PERCEIVER_LAYERS
  config.init_from.exclude = (r'outputs/linear',)
  if variant == 'tiny':
    config.model.encoder.num_latents = 4
    config.model.encoder.latent_channels = 16
    config.model.encoder.num_self_attends_per_block = 1
    config.model.inputs.num_bands = 4
  return config
