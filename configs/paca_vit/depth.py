"""PaCa-ViT estimates depth from one photograph.

  python train.py --config=configs/paca_vit/depth.py:demo --workdir=runs/depth

Variants: `demo` trains on strips of a real scene and tests on others (the
motorcycle that scikit-image ships), beside predicting the mean (`*_of_mean`)
and the mean of every row of pixels (`rows`), and is told of each pixel how low
it is;
`nyu` is NYU Depth v2 with PaCa-ViT-Small, a recipe of this repository (the
paper has no depth), not trained here.
"""

import ml_collections

from configs import common
from configs.paca_vit import models

VARIANTS = 'demo', 'nyu'

# What `python -m tools.compile_check` compiles, and with which options.
TPU_TOPOLOGIES = {'nyu': ('v5e:4x4', {'model.scan_layers': True})}


def get_config(variant: str = 'demo') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.task = dict(module='paca_vit.tasks.depth', variance_focus=0.5)
  if variant == 'demo':
    config.num_steps = 400
    config.model = models.demo_segmenter(num_classes=1)
    config.model.in_channels = 4  # colours and rows
    config.task.mean_depth = 3.2
    config.task.variance_focus = 0.0  # One scene has one scale.
    module, test, crop_size = 'data.depth.motorcycle', 'test', (128, 80)
    batch_size, warmup_steps, lr = 8, 20, 2e-3
  else:
    config.num_steps = 60_000
    config.model = models.paca_segmenter('small_p2cconv_100_0', 1)
    config.task.mean_depth = 2.7
    module, test, crop_size = (
      'data.depth.nyu_depth',
      'validation',
      (416, 544),
    )
    batch_size, warmup_steps, lr = 16, 1_500, 1e-4
  # Nothing supervises these clusters; in segmentation they are the classes.
  config.model.decode_head.num_clusters = 32

  config.data = common.data(
    module, split='train', batch_size=batch_size, crop_size=crop_size
  )
  config.evals = dict(
    test=dict(
      module='train_lib.evaluate',
      every_steps=common.part(config.get_ref('num_steps'), 4),
      data=dict(split=test),
    )
  )
  if variant == 'demo':
    config.data.preprocess.rows = True
    config.evals.rows = dict(
      module='paca_vit.evaluators.row_means',
      every_steps=common.part(config.get_ref('num_steps'), 4),
      data=dict(split=test),
      fit_split='train',
    )
  config.optim = common.adamw(lr=lr, end_lr=lr / 100, warmup_steps=warmup_steps)
  config.checkpoint = common.checkpoint(
    every_steps=common.part(config.get_ref('num_steps'), 4),
    best_metric='test/abs_rel',
    best_mode='min',
  )
  config.log_every_steps = 10
  config.update(common.parallel())
  config.init_from = common.from_scratch()
  config.init_from.exclude = (r'head/',)
  return config
