"""PaCa-ViT on large images: an ImageNet run goes on at 512, 768 or 1024.

  python train.py --config=configs/paca_vit/high_resolution.py:512 \
    --config.init_from.path=runs/tiny --workdir=runs/tiny512

A variant is a size, for tiny_p2cconv_100_0, or a size and a name of models.py:
'1024_small_p2cconv_100_0'. No weight depends on the size: the model has no
positions, and 100 clusters whatever the number of patches, so that memory and
operations grow with the pixels (docs/high-resolution.md). A recipe of this
repository, as one fine-tunes at a higher resolution: 30 epochs of a hundredth
of the learning rate, no mixing of images, the whole image in evaluation. Not
trained here. Segmentation at these sizes: ade20k.py with
--config.data.preprocess.crop_size and bounds.
"""

import ml_collections

from configs import common
from configs.paca_vit import imagenet

VARIANTS = '512', '768', '1024'

# What `python -m tools.compile_check` compiles, and with which options.
TPU_TOPOLOGIES = {'1024': ('v5e:8x8', {'model.scan_layers': True})}


def get_config(variant: str = '512') -> ml_collections.ConfigDict:
  size, _, model = variant.partition('_')
  common.check_variant(size, VARIANTS)
  config = imagenet.get_config(model or 'tiny_p2cconv_100_0')
  config.data.batch_size = 512
  steps_per_epoch = common.num_batches(
    imagenet.NUM_TRAIN, config.data.get_ref('batch_size')
  )
  config.num_steps = 30 * steps_per_epoch
  config.task.mixing = common.off(**common.MIXING)
  config.data.preprocess.update(image_size=int(size), crop_fraction=1.0)
  config.optim = common.adamw(lr=1e-5, end_lr=1e-7)
  config.optim.weight_decay = 1e-8
  # A batch of large images in as many parts as a device's memory asks for.
  config.optim.num_microbatches = {'512': 1, '768': 2, '1024': 4}[size]
  return config
