"""PaCa-ViT on video: which of three real films, and are its frames in order?

  pip install -e '.[media]'
  python train.py --config=configs/paca_vit/video.py:demo --workdir=runs/video

Windows of 8 frames, every other one, of 48 x 48 pixels: 2 x 12 x 12 patches of
tubelets of 4 frames, of which all but the window's first are differences to the
one before (data/video/films.py). Test windows are of other seconds than those
of training. Beside it a linear model of the mean frame, which is at most right
in half of the cases, since the mean has no order.
Variants: `demo`; `five_films` has two more, which data/video/five_films.py says
how to get; `tiny` is for tests.
"""

import ml_collections

from configs import common
from configs.paca_vit import models

VARIANTS = 'demo', 'five_films', 'tiny'


def get_config(variant: str = 'demo') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = 1_500
  num_frames, tubelet_frames, image_size = 8, 4, 48
  module, num_films = 'data.video.films', 3
  if variant == 'five_films':
    module, num_films = 'data.video.five_films', 5
  if variant == 'tiny':
    config.num_steps, image_size = 6, 16

  config.task = dict(
    module='paca_vit.tasks.video_classification', label_smoothing=0.0
  )
  config.model = models.demo()
  config.model.update(
    num_clusters=(32, 16),
    in_channels=3 * tubelet_frames,
    position_grid=(num_frames // tubelet_frames, *(2 * (image_size // 4,))),
    num_classes=2 * num_films,
  )
  config.model.tubelet_frames = tubelet_frames
  if variant == 'tiny':
    config.model.update(channels=(8, 12), depths=(1, 1), num_clusters=(4, 3))

  config.data = common.data(
    module,
    split='train',
    batch_size=32,
    num_frames=num_frames,
    frame_stride=2,
    image_size=image_size,
    differences=True,
  )
  num_steps = config.get_ref('num_steps')
  config.evals = dict(
    test=dict(
      module='train_lib.evaluate',
      every_steps=common.part(num_steps, 6),
      data=dict(split='test', batch_size=16),
    ),
    mean_frame=dict(
      module='paca_vit.evaluators.mean_frame',
      every_steps=common.part(num_steps),
      data=dict(split='test', preprocess=dict(differences=False)),
      fit_split='train',
    ),
  )
  config.optim = common.adamw(
    lr=2e-3, end_lr=1e-5, warmup_steps=common.part(num_steps, 30)
  )
  config.checkpoint = common.checkpoint(
    every_steps=common.part(num_steps, 3), best_metric='test/accuracy'
  )
  config.log_every_steps = common.part(num_steps, 60)
  config.update(common.parallel())
  config.init_from = common.from_scratch()
  return config
