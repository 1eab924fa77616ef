"""PaCa-ViT on your own clips, from scratch or from such a run.

  python train.py --config=configs/paca_vit/finetune_video.py:demo \
    --config.data.data_dir=clips --workdir=runs/clips

`clips` has a folder for each class, or is a table with the columns file, label
and, if you like, start and end; see data/video/folder.py. The number of
classes, of steps and of warm-up steps are derived from the data and printed.

Variants: `demo`, the model of video.py, for 8 frames of 64 x 64, half a second
together; `tiny` is for tests. Not a published recipe.
"""

import ml_collections
from ml_collections import config_dict

from configs import common
from configs.paca_vit import finetune, models

VARIANTS = ('demo', 'tiny')


def get_config(variant: str = 'demo') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = finetune.get_config(variant)
  num_frames, tubelet_frames, image_size = 8, 4, 64
  if variant == 'tiny':
    image_size = 16
  config.task = dict(
    module='paca_vit.tasks.video_classification', label_smoothing=0.1
  )
  config.model = models.demo()
  config.model.update(
    num_clusters=(32, 16),
    in_channels=3 * tubelet_frames,
    position_grid=(num_frames // tubelet_frames, *(2 * (image_size // 4,))),
    num_classes=config_dict.placeholder(int),
  )
  config.model.tubelet_frames = tubelet_frames
  config.data = common.data(
    'data.video.folder_pictures',
    split='train',
    batch_size=16,
    num_frames=num_frames,
    frame_stride=2,
    image_size=image_size,
  )
  if variant == 'tiny':
    config.model.update(channels=(8, 12), depths=(1, 1), num_clusters=(4, 3))
    config.data.batch_size = 8
  return config
