"""Your own objects: a Mask R-CNN on PaCa-ViT, from anybody's COCO JSON.

  python train.py --config=configs/paca_vit/finetune_detection.py \
    --workdir=runs/mine --config.data.data_dir=/path/to/folder \
    --config.init_from.path=/path/to/coco/run

The folder has a JSON and images for each of two splits, such as
annotations/train.json and train/, annotations/val.json and val/, or one JSON
alone, of which one image in five is validated on (data/detection/coco_json.py
lists the other names). It is checked before anything starts: what is wrong is
named, what is left out is counted. The number of classes, of steps and of
warm-up steps are derived from the data and printed. Weights are those of a
detector, all but the layers that know classes; of a classifier with
--config.init_from.exclude="('pyramid/', 'head/')".

Variants: the sizes of coco.py, whose image sizes and pipeline they keep;
`demo`, small, for images of about 160 pixels and training from scratch on a
CPU; `tiny` is for tests. Not a published recipe.
"""

import ml_collections
from ml_collections import config_dict

from configs import common
from configs.paca_vit import coco, models, nuclei

VARIANTS = (*coco.VARIANTS, 'demo', 'tiny')


def get_config(
  variant: str = 'tiny_p2cconv_100_0',
) -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  small = variant in ('demo', 'tiny')
  config = coco.get_config() if small else coco.get_config(variant)
  config.num_steps = config_dict.placeholder(int)
  config.derive = common.derive(
    'model.num_classes', 'data.preprocess.num_classes', epochs=12.0
  )
  if small:
    config.model = models.demo_detector(num_classes=1)
  config.model.num_classes = config_dict.placeholder(int)

  config.data = common.data(
    coco.DATA,
    split='train',
    batch_size=4,
    num_classes=config.model.get_ref('num_classes').identity(),
    plan=nuclei.PLAN if small else coco.PLAN,
    max_boxes=100,
  )
  validation = config.evals.validation
  validation.every_steps = config_dict.placeholder(int)
  validation.data.split = 'validation'

  decay_exclude = config.optim.decay_exclude
  config.optim = common.adamw(
    lr=1e-3 if small else 5e-5, warmup_steps=config_dict.placeholder(int)
  )
  config.optim.decay_exclude = decay_exclude
  config.optim.clip_norm = 1.0
  config.checkpoint = common.checkpoint(
    every_steps=config_dict.placeholder(int), best_metric='validation/mask_ap'
  )
  config.log_every_steps = config_dict.placeholder(int)
  config.init_from.exclude = (
    r'box_head/(logits|deltas)',
    r'mask_head/logits',
  )
  if variant == 'tiny':
    config.model.channels, config.model.depths = (8, 8, 8, 8), (1, 1, 1, 1)
    config.model.pyramid_channels = config.model.box_channels = 8
    config.data.batch_size = 8
    config.derive.min_steps = 4
    config.derive.num_evaluations = 1
  return config
