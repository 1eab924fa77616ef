"""PaCa-ViT on brain tissue: slices of the ICBM152 atlas, four classes.

  pip install -e '.[brain]'
  python train.py --config=configs/paca_vit/brain.py:demo --workdir=runs/brain

98 slices train, 35 test, with noise and non-uniformity as of a scanner (see
data/segmentation/brain.py). The run prints the mean IoU of the model, by
sliding window, and of the best look-up of intensities that the training slices
give.
Variants: `demo`; `tiny` is for tests.
"""

import ml_collections

from configs import common
from configs.paca_vit import models

VARIANTS = 'demo', 'tiny'
DATA = 'data.segmentation.brain'


def get_config(variant: str = 'demo') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = 1_000
  num_steps = config.get_ref('num_steps')

  config.task = dict(
    module='paca_vit.tasks.segmentation',
    auxiliary_weight=0.4,
    mean_over_ignored=False,
  )
  config.model = models.demo_segmenter(num_classes=4)

  config.data = common.data(
    DATA, split='train', batch_size=8, crop_size=96, scale=(0.8, 1.25)
  )
  config.evals = dict(
    test=dict(
      module='paca_vit.evaluators.segmentation',
      every_steps=common.part(num_steps, 4),
      data=dict(split='test'),
      window=(96, 96),
      stride=(64, 64),
    ),
    intensity=dict(
      module='paca_vit.evaluators.intensity_lookup',
      every_steps=common.part(num_steps),
      data=dict(split='test'),
      fit_split='train',
    ),
    clusters=dict(
      module='paca_vit.evaluators.supervised_clusters',
      every_steps=common.part(num_steps),
      data=dict(split='test'),
      num_images=4,
      class_names=('outside', 'fluid', 'grey matter', 'white matter'),
    ),
  )

  config.optim = common.adamw(lr=2e-3, end_lr=1e-5, warmup_steps=50)
  config.checkpoint = common.checkpoint(
    every_steps=common.part(num_steps, 4), best_metric='test/mean_iou'
  )
  config.log_every_steps = 25
  config.update(common.parallel())
  config.init_from = common.from_scratch()

  if variant == 'tiny':
    config.model.channels, config.model.depths = (8, 12), (1, 1)
    config.model.decode_head.channels = 8
    config.data.preprocess.crop_size = 32
    config.num_steps = 6
    config.optim.schedule.warmup_steps = 2
    config.checkpoint.every_steps = 3
    config.log_every_steps = 1
  return config
