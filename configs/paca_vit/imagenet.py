"""PaCa-ViT on ImageNet-1k, the authors' recipe, for each of 13 variants.

  python train.py --config=configs/paca_vit/imagenet.py:small_p2cconv_100_0 \
    --workdir=runs/small

300 epochs of batches of 1,024 (the authors: 8 GPUs). docs/paper-tables.md has
what was published. Not trained here. Facts of the recipe: the authors'
imagenet_vit_adamw.yml, timm's defaults. Deviations: bfloat16 or float32 instead
of float16 with loss scaling; mixup and BatchNorm over the global batch instead
of that of one GPU.
"""

import ml_collections
from ml_collections import config_dict

from configs import common
from configs.paca_vit import models

VARIANTS = tuple(models.VARIANTS)
NUM_TRAIN = 1_281_167

# What `python -m tools.compile_check` compiles, and with which options.
TPU_TOPOLOGIES = {
  f'{size}_p2cconv_100_0': ('v5e:8x8', {'model.scan_layers': True})
  for size in ('tiny', 'base')
}


def get_config(
  variant: str = 'tiny_p2cconv_100_0',
) -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 42
  config.task = dict(
    module='paca_vit.tasks.classification',
    label_smoothing=0.1,
    mixing=dict(common.MIXING),
  )
  config.model = models.model(variant)

  config.data = common.data(
    'data.images.imagenet',
    split='train',
    batch_size=1_024,
    image_size=224,
    crop_fraction=0.9,
    # True: resized there; augment.on_device must be, too.
    crop_on_device=config_dict.placeholder(bool),
    # rand-m9-mstd0.5-inc1
    augment=dict(
      num_layers=2,
      magnitude=9.0,
      magnitude_std=0.5,
      prob=0.5,
      increasing=True,
      on_device=False,  # True: the same on the accelerator, for few host cores
    ),
  )
  batch_size = config.data.get_ref('batch_size')
  steps_per_epoch = common.num_batches(NUM_TRAIN, batch_size)
  config.num_steps = 300 * steps_per_epoch
  config.evals = dict(
    validation=dict(
      module='train_lib.evaluate',
      every_steps=common.part(steps_per_epoch),
      data=dict(split='validation'),
    )
  )

  config.optim = common.adamw(
    lr=common.scaled(5e-4, batch_size, per=512),
    end_lr=common.scaled(5e-6, batch_size, per=512),
    warmup_lr=common.scaled(5e-7, batch_size, per=512),
    warmup_steps=5 * steps_per_epoch,
    decay_starts_at_zero=True,
    update_every_steps=common.part(steps_per_epoch),
  )
  if variant.startswith('base_'):  # the authors' note on this size
    config.optim.clip_norm = 1.0
  config.checkpoint = common.checkpoint(
    every_steps=common.part(steps_per_epoch), best_metric='validation/accuracy'
  )
  config.log_every_steps = 100
  config.update(common.parallel())
  config.init_from = common.from_scratch()
  return config
