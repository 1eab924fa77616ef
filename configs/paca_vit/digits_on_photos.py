"""PaCa-ViT on coloured digits over photographs: what `make demo` trains.

  python train.py --config=configs/paca_vit/digits_on_photos.py:demo \\
    --workdir=runs/demo

100,000 images of 64 x 64 pixels are composed of 4,000 digits and 6 photographs,
1,000 test images of other digits and other photographs.
Variants: `demo`; `tiny` is for tests.
"""

import ml_collections

from configs import common
from configs.paca_vit import models

VARIANTS = 'demo', 'tiny'
DATA = 'data.images.digits_on_photos'


def get_config(variant: str = 'demo') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = 1_200
  num_steps = config.get_ref('num_steps')

  config.task = dict(
    module='paca_vit.tasks.classification',
    label_smoothing=0.1,
    mixing=common.off(**common.MIXING),
  )
  config.model = models.model('demo')  # stages of 16 x 16 and 8 x 8 patches
  config.model.in_channels = 3
  config.model.channels, config.model.depths = (24, 64), (1, 2)
  config.model.num_clusters = (8, 8)

  config.data = common.data(DATA, split='train', batch_size=64)
  few = dict(
    image_folder='',
    num_images=6,
  )
  config.evals = dict(
    test=dict(
      module='train_lib.evaluate',
      every_steps=common.part(num_steps, 5),
      data=dict(split='test', batch_size=250),
    ),
    mistakes=dict(
      module='train_lib.mistakes',
      every_steps=common.part(num_steps),
      data=dict(split='test', batch_size=250),
      num_shown=18,
    ),
    linear_pixels=dict(
      module='paca_vit.evaluators.linear_pixels',
      every_steps=common.part(num_steps),
      data=dict(split='test'),
      fit_split='train',
      num_fitted=4_000,
    ),
    clusters=dict(
      module='paca_vit.evaluators.cluster_maps',
      every_steps=common.part(num_steps),
      data=dict(split='test'),
      **few,
    ),
    decisions=dict(
      module='paca_vit.evaluators.deciding_clusters',
      every_steps=common.part(num_steps),
      data=dict(split='test'),
      **few,
    ),
  )

  config.optim = common.adamw(lr=2e-3, end_lr=1e-5, warmup_steps=50)
  config.checkpoint = common.checkpoint(
    every_steps=common.part(num_steps, 5), best_metric='test/accuracy'
  )
  config.log_every_steps = 20
  config.update(common.parallel())
  config.init_from = common.from_scratch()

  if variant == 'tiny':
    config.model.channels, config.model.depths = (16, 32), (1, 1)
    config.num_steps = 12
    config.evals.linear_pixels.num_fitted = 40
    del config.evals.decisions  # takes longer to compile than to train
    config.optim.schedule.warmup_steps = 2
    config.checkpoint.every_steps = 3
    config.log_every_steps = 1
  return config
