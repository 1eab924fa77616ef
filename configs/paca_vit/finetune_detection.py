"""Your own objects: a Mask R-CNN on PaCa-ViT, from anybody's COCO JSON.

  python train.py --config=configs/paca_vit/finetune_detection.py \
    --workdir=runs/mine --config.data.data_dir=/path/to/folder \
    --config.model.num_classes=3 --config.init_from.path=/path/to/coco/run

The folder has a JSON and images for each of two splits, train and val, such as
annotations/train.json and train/ (data/detection/coco_json.py lists the other
names; --config.data.split and --config.evals.test.data.split name others). It
is checked before anything starts: what is wrong is named, what is left out is
counted. Weights are those of a detector, all but the layers that know classes;
of a classifier with --config.init_from.exclude="('pyramid/', 'head/')".

A variant is one of coco.py's, tiny_p2cconv_100_0 unless named. Images keep
their aspect; the sides are COCO's.
"""

import ml_collections

from configs import common
from configs.paca_vit import coco

VARIANTS = coco.VARIANTS


def get_config(
  variant: str = 'tiny_p2cconv_100_0',
) -> ml_collections.ConfigDict:
  config = coco.get_config(variant)
  config.num_steps = 4_000
  num_steps = config.get_ref('num_steps')

  config.data.split, config.data.batch_size = 'train', 4
  validation = config.evals.validation
  del config.evals.validation
  validation.every_steps = common.part(num_steps, 8)
  validation.data.split = 'val'
  config.evals.test = validation

  decay_exclude = config.optim.decay_exclude
  config.optim = common.adamw(lr=5e-5, warmup_steps=200)
  config.optim.decay_exclude = decay_exclude
  config.checkpoint = common.checkpoint(
    every_steps=common.part(num_steps, 8), best_metric='test/mask_ap'
  )
  config.init_from.exclude = (
    r'box_head/(logits|deltas)',
    r'mask_head/logits',
  )
  return config
