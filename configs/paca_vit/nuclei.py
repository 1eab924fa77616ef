"""PaCa-ViT finds nuclei: a small Mask R-CNN, real pixels, people's outlines.

  pip install -e '.[demo,detection]' && pip install --no-deps stardist
  python train.py --config=configs/paca_vit/nuclei.py:demo \
    --workdir=runs/nuclei --config.init_from.path=runs/objects

The left three quarters of one image train, the rest tests (see
data/detection/nuclei.py). It starts from what objects.py:demo has learned, all
but the layers that know classes, or from scratch without the path. The run
prints the AP of boxes and masks of the model and of Otsu's threshold with a
watershed.
Variants: `demo`; `tiny` is for tests.
"""

import ml_collections

from configs import common
from configs.paca_vit import objects

VARIANTS = objects.VARIANTS
DATA = 'data.detection.nuclei'
PLAN = dict(
  flip_rate=0.5,
  long_side=160,
  short_sides=(128, 144, 160),
  crop_short_sides=(160,),
  crop_range=(112, 160),
)


def get_config(variant: str = 'demo') -> ml_collections.ConfigDict:
  config = objects.get_config(variant)
  config.num_steps = min(config.num_steps, 400)
  num_steps = config.get_ref('num_steps')
  config.model.num_classes = 1
  options = dict(
    num_classes=1,
    plan=PLAN,
    max_boxes=24,
  )
  config.data = common.data(DATA, split='train', batch_size=4, **options)
  config.evals = dict(
    test=dict(
      module='paca_vit.evaluators.detection',
      every_steps=common.part(num_steps),
      data=dict(split='test'),
      fast=False,
      num_images=4,
      min_score=0.5,
    ),
    watershed=dict(
      module='paca_vit.evaluators.classical_detection',
      every_steps=common.part(num_steps),
      data=dict(split='test'),
      method='watershed',
      fit_split='train',
    ),
  )
  config.optim.schedule.lr = 5e-4
  config.optim.schedule.warmup_steps = min(
    config.optim.schedule.warmup_steps, 50
  )
  config.checkpoint.every_steps = common.part(num_steps)
  config.init_from.exclude = (
    r'box_head/(logits|deltas)',
    r'mask_head/logits',
  )
  return config
