"""PaCa-ViT on COCO: Mask R-CNN, the authors' 1x recipe, all 12 of them.

  python train.py --config=configs/paca_vit/coco.py:small_p2cconv_100_0 \
    --workdir=runs/coco --config.data.data_dir=/path/to/coco \
    --config.init_from.path=/path/to/imagenet/run

The folder is COCO's: annotations/, train2017/, val2017/. 12 epochs of 16 images
(the authors: 8 GPUs of 2). Variants are those of imagenet.py but
convmixer_tiny_100; docs/paper-tables.md has what was published. Not trained
here. The data part is mmdetection's standard recipe, which the authors' file
names but does not contain. Weights of the classifier: the authors' code loads
them and then, by accident, draws all anew; with `init_from` they stay, as their
figures suggest that theirs did. Without its path a run starts from scratch.
Other deviations: bfloat16 or float32 instead of float16 with loss scaling
(boxes are always float32); two canvases, 800 x 1344 and 1344 x 800, instead of
the largest image's of a batch, which clusters see.
"""

import ml_collections

from configs import common
from configs.paca_vit import models

DATA = 'data.detection.coco'
PLAN = dict(
  flip_rate=0.5,
  long_side=1333,
  short_sides=tuple(range(480, 801, 32)),
  crop_short_sides=(400, 500, 600),  # one time in two, before
  crop_range=(384, 600),
)
NUM_TRAIN = 117_280  # images with objects, filled up to whole batches of 16
VARIANTS = tuple(
  name for name in models.VARIANTS if name != 'convmixer_tiny_100'
)
# As the authors' 8 GPUs, 2 images each.
TPU_TOPOLOGIES = {
  'small_p2cconv_100_0': ('v5e:2x4', {'model.scan_layers': True})
}


def get_config(
  variant: str = 'tiny_p2cconv_100_0',
) -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 0
  # Losses are normalised by two images each, what a GPU of the authors had.
  config.task = dict(module='paca_vit.tasks.detection', group_size=2)
  config.model = models.mask_rcnn(variant, num_classes=80)

  options = dict(
    num_classes=config.model.get_ref('num_classes').identity(),
    plan=PLAN,
    max_boxes=100,
  )
  config.data = common.data(DATA, split='train2017', batch_size=16, **options)
  epoch = common.num_batches(NUM_TRAIN, config.data.get_ref('batch_size'))
  config.num_steps = 12 * epoch
  config.evals = dict(
    validation=dict(
      module='paca_vit.evaluators.detection',
      every_steps=common.part(epoch),
      data=dict(split='val2017'),
      fast=False,
      num_images=8,
      min_score=0.5,
    )
  )

  config.optim = common.adamw(
    decay='step',
    lr=1e-4,
    warmup_steps=499,
    warmup_lr=1e-7,
    boundaries=(8 / 12, 11 / 12),
    factor=0.1,
  )
  # As the authors' rule "norm", which misses the norms of the teacher.
  config.optim.decay_exclude = (r'^backbone/(?!teacher/).*norm',)
  config.checkpoint = common.checkpoint(
    every_steps=common.part(epoch), best_metric='validation/box_ap'
  )
  config.log_every_steps = 50
  config.update(common.parallel())
  config.init_from = dict(path='', exclude=(r'pyramid/', r'head/'))
  return config
