"""PaCa-ViT on COCO: Mask R-CNN, the authors' 1x recipe, all 12 of them.

  python train.py --config=configs/paca_vit/coco.py:small_p2cconv_100_0 \
    --workdir=runs/coco --config.data.data_dir=/path/to/coco \
    --config.init_from.path=/path/to/imagenet/run

The folder is COCO's: annotations/, train2017/, val2017/. 12 epochs of 16 images
(the authors: 8 GPUs of 2). Published, AP of boxes and masks on val2017, beside
parameters:
                                box   mask   params
  tiny_p2cconv_100_0           43.3   39.6    32.0M
  small_p2cconv_100_0          46.4   41.8    41.8M
  base_p2cconv_100_0           48.0   42.9    66.6M
  small_p2cmlp_100_0           46.6   41.9    42.4M
  small_p2cconv_2_0            45.5   41.1    41.6M *
  small_p2cconv_49_0           46.2   41.6    41.8M
  small_p2cconv_49_100         46.1   41.5    42.0M
  small_p2cconv_100_49         46.1   41.7    42.0M
  small_p2cconv_100            46.4   41.8    42.0M
  small_p2cconv_100_blockwise  46.5   41.8    44.0M
  convmixer_small_100          45.8   41.4    40.9M
  convmixer_base_100           48.3   43.3    61.4M *

* the authors' code has 41.75M and 67.35M. Not trained here. The data part is
mmdetection's standard recipe, which the authors' file names but does not
contain. Weights of the classifier: the authors' code loads them and then, by
accident, draws all anew; with `init_from` they stay, as their figures suggest
that theirs did. Without its path a run starts from scratch. Other deviations:
bfloat16 or float32 instead of float16 with loss scaling (boxes are always
float32); two canvases, 800 x 1344 and 1344 x 800, instead of the largest
image's of a batch, which clusters see.
"""

import ml_collections

from configs import common
from configs.paca_vit import models

DATA = 'data.detection.coco'
_EPOCH = 7_330  # 117,266 images with objects, 16 at a time


def get_config(
  variant: str = 'tiny_p2cconv_100_0',
) -> ml_collections.ConfigDict:
  if variant not in models.VARIANTS or variant == 'convmixer_tiny_100':
    raise ValueError(
      f'variant: found {variant!r}; expected one of those that the top of '
      'configs/paca_vit/coco.py lists.'
    )
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = 12 * _EPOCH

  # Losses are normalised by two images each, what a GPU of the authors had.
  config.task = dict(module='paca_vit.tasks.detection', group_size=2)
  config.model = models.mask_rcnn(variant, num_classes=80)

  num_classes = config.model.get_ref('num_classes')
  config.data = common.data(
    DATA,
    split='train2017',
    batch_size=16,
    num_classes=num_classes,
    plan=dict(
      flip_rate=0.5,
      long_side=1333,
      short_sides=tuple(range(480, 801, 32)),
      crop_short_sides=(400, 500, 600),  # one time in two, before
      crop_range=(384, 600),
    ),
    max_boxes=100,
  )
  config.evals = dict(
    validation=dict(
      module='paca_vit.evaluators.detection',
      every_steps=_EPOCH,
      data=common.examples(
        DATA, split='val2017', num_classes=num_classes, bounds=(1333, 800)
      ),
      fast=False,
      num_images=8,
      min_score=0.5,
    )
  )
  config.evals.validation.data.data_dir = config.data.get_ref('data_dir')

  config.optim = common.adamw(
    decay='step',
    lr=1e-4,
    warmup_steps=499,
    warmup_lr=1e-7,
    boundaries=(8 * _EPOCH, 11 * _EPOCH),
    factor=0.1,
  )
  # As the authors' rule "norm", which misses the norms of the teacher.
  config.optim.decay_exclude = (r'^backbone/(?!teacher/).*norm',)
  config.checkpoint = common.checkpoint(
    every_steps=_EPOCH, best_metric='validation/box_ap'
  )
  config.log_every_steps = 50
  config.update(common.parallel())
  config.init_from = dict(path='', exclude=(r'pyramid/', r'head/'))
  return config
