"""PaCa-ViT finds ten digits in photographs: Mask R-CNN, small, on two cores.

  pip install -e '.[demo,detection]'
  python train.py --config=configs/paca_vit/objects.py:demo \
    --workdir=runs/objects

Handwritten digits in coloured inks lie on photographs, some hidden in part (see
data/detection/photo_digits.py); neither the digits nor the photographs of the
test are those of the training. The run prints the AP of boxes and masks of the
model and of a detector of colour differences, whose threshold the training
scenes give and whose classes are those of the nearest training digit.
Variants: `demo`; `tiny` is for tests.
"""

import ml_collections

from configs import common
from configs.paca_vit import models

VARIANTS = 'demo', 'tiny'
DATA = 'data.detection.photo_digits'


def get_config(variant: str = 'demo') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = 2_400
  num_steps = config.get_ref('num_steps')

  config.task = dict(module='paca_vit.tasks.detection', group_size=4)
  config.model = models.demo_detector(num_classes=10)

  options = dict(
    num_classes=10,
    plan=dict(
      flip_rate=0.0,  # no digit is mirrored
      long_side=160,
      short_sides=(104, 112, 120, 128),
      crop_short_sides=(),
      crop_range=(128, 128),
    ),
    max_boxes=8,
  )
  config.data = common.data(DATA, split='train', batch_size=4, **options)
  config.evals = dict(
    test=dict(
      module='paca_vit.evaluators.detection',
      every_steps=common.part(num_steps, 3),
      data=dict(split='test'),
      fast=False,
      num_images=8,
      min_score=0.5,
    ),
    clusters=dict(
      module='paca_vit.evaluators.detection_clusters',
      every_steps=common.part(num_steps),
      data=dict(split='test'),
      num_images=4,
    ),
    colors=dict(
      module='paca_vit.evaluators.classical_detection',
      every_steps=common.part(num_steps),
      data=dict(split='test'),
      method='colors',
      fit_split='train[:100]',
    ),
  )

  config.optim = common.adamw(lr=1e-3, end_lr=1e-5, warmup_steps=100)
  config.optim.clip_norm = 1.0  # the first gradients are up to thousands
  config.checkpoint = common.checkpoint(
    every_steps=common.part(num_steps, 3), best_metric='test/mask_ap'
  )
  config.log_every_steps = 50
  config.update(common.parallel())
  config.init_from = common.from_scratch()

  if variant == 'tiny':
    config.model.channels, config.model.depths = (8, 8, 8, 8), (1, 1, 1, 1)
    config.model.pyramid_channels = config.model.box_channels = 8
    config.num_steps = 6
    config.optim.schedule.warmup_steps = 2
    config.checkpoint.every_steps = 3
    config.log_every_steps = 1
  return config
