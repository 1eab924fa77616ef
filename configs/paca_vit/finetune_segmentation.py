"""PaCa-ViT on your own images and masks, from weights of ADE20K or ImageNet.

  python train.py \
    --config=configs/paca_vit/finetune_segmentation.py:tiny_p2cconv_100_0 \
    --config.data.data_dir=scenes --config.init_from.path=WEIGHTS \
    --workdir=runs/scenes

`scenes` has classes.txt and a folder for each split, train and test, with
images and masks, see data/segmentation/image_mask_folder.py. The number of
classes, of steps and of warm-up steps are derived from the data and printed.

Variants: the sizes of models.py with the authors' head; `demo`, small, for
images of about 100 pixels and training from scratch on a CPU; `tiny` is for
tests. Not a published recipe.
"""

import ml_collections
from ml_collections import config_dict

from configs import common
from configs.paca_vit import models

VARIANTS = (*models.VARIANTS, 'demo', 'tiny')
DATA = 'data.segmentation.image_mask_folder'


def get_config(
  variant: str = 'tiny_p2cconv_100_0',
) -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = config_dict.placeholder(int)
  config.derive = common.derive(
    'model.num_classes', 'model.decode_head.num_clusters', epochs=40.0
  )

  config.task = dict(
    module='paca_vit.tasks.segmentation',
    auxiliary_weight=0.4,
    mean_over_ignored=False,
  )
  small = variant in ('demo', 'tiny')
  if small:
    config.model = models.demo_segmenter(1)
    config.model.in_channels = 3
  else:
    config.model = models.paca_segmenter(variant, 1)
  config.model.num_classes = config_dict.placeholder(int)
  config.model.decode_head.num_clusters = config_dict.placeholder(int)

  crop_size = 96 if small else 512
  bounds = (4 * crop_size, crop_size)
  config.data = common.data(
    DATA,
    split='train',
    batch_size=8,
    bounds=bounds,
    crop_size=crop_size,
    scale=(0.5, 2.0),
    max_share=0.75,
  )
  config.evals = dict(
    test=dict(
      module='paca_vit.evaluators.segmentation',
      every_steps=config_dict.placeholder(int),
      data=dict(split='test', preprocess=dict(size_multiple=32)),
      window=config_dict.placeholder(tuple),
      stride=config_dict.placeholder(tuple),
    )
  )

  config.optim = common.adamw(
    lr=2e-3 if small else 6e-5, warmup_steps=config_dict.placeholder(int)
  )
  config.optim.layers = common.PACA_LAYERS
  config.checkpoint = common.checkpoint(
    every_steps=config_dict.placeholder(int), best_metric='test/mean_iou'
  )
  config.log_every_steps = config_dict.placeholder(int)
  config.update(common.parallel())
  # The clusters' layers have other outputs than ImageNet's; heads are new.
  config.init_from = dict(
    path='', exclude=(r'to_clusters|clustering/fc2', r'head/')
  )

  if variant == 'tiny':
    config.model.channels, config.model.depths = (8, 12), (1, 1)
    config.model.decode_head.channels = 8
    config.data.preprocess.crop_size = 32
    config.data.preprocess.bounds = (96, 32)
    config.derive.min_steps, config.derive.num_evaluations = 20, 1
  return config
