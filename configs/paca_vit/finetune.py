"""PaCa-ViT on your own photographs, from weights of ImageNet or from scratch.

  python train.py --config=configs/paca_vit/finetune.py:tiny_p2cconv_100_0 \
    --config.data.data_dir=photos --config.init_from.path=WEIGHTS \
    --workdir=runs/photos

`photos` has a folder for each class, or is a table with the columns file and
label, see data/images/folder.py; `WEIGHTS` is a checkpoint, such as
tools/convert_weights.py makes, or a workdir. The number of classes, of steps
and of warm-up steps are derived from the data and printed.

Variants: the sizes of models.py; `demo`, small, for images of 64 x 64 and
training from scratch on a CPU; `tiny` is for tests. Not a published recipe:
AdamW, cosine, 20 epochs, random crops and flips, moderate colour jitter.
"""

import ml_collections
from ml_collections import config_dict

from configs import common
from configs.paca_vit import models

VARIANTS = (*models.VARIANTS, 'demo', 'tiny')
DATA = 'data.images.folder'


def get_config(
  variant: str = 'tiny_p2cconv_100_0',
) -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = config_dict.placeholder(int)
  config.derive = common.derive('model.num_classes')

  config.task = dict(
    module='paca_vit.tasks.classification',
    kind=config_dict.placeholder(str),
    y_mean=config_dict.placeholder(tuple),
    y_std=config_dict.placeholder(tuple),
    label_smoothing=0.1,
    mixing=common.off(**common.MIXING),
  )
  small = variant in ('demo', 'tiny')
  config.model = models.model('demo' if small else variant)
  config.model.in_channels = 3
  config.model.num_classes = config_dict.placeholder(int)

  image_size = 64 if small else 224
  config.data = common.data(
    DATA,
    split='train',
    batch_size=32,
    image_size=image_size,
    color_jitter=0.2,
  )
  config.evals = dict(
    validation=dict(
      module='train_lib.evaluate',
      every_steps=config_dict.placeholder(int),
      data=dict(split='validation'),
    )
  )

  config.optim = common.adamw(
    lr=2e-3 if small else 2e-4, warmup_steps=config_dict.placeholder(int)
  )
  config.optim.clip_norm = 1.0
  config.optim.layers = common.PACA_LAYERS
  config.checkpoint = common.checkpoint(
    every_steps=config_dict.placeholder(int),
    best_metric='validation/accuracy',
  )
  config.log_every_steps = config_dict.placeholder(int)
  config.update(common.parallel())
  config.init_from = dict(path='', exclude=(r'params/head/',))

  if variant == 'tiny':
    config.model.channels, config.model.depths = (8, 16), (1, 1)
    config.data.preprocess.image_size, config.data.batch_size = 32, 8
    config.derive.min_steps = 40
    config.derive.num_evaluations = 2
  return config
