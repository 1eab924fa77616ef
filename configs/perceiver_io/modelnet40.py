"""The original Perceiver on the point clouds of ModelNet40.

  python train.py --config=configs/perceiver_io/modelnet40.py \
    --workdir=runs/modelnet40

The recipe is that of Jaegle et al. 2021a, section 4.3: two cross-attends,
blocks of six self-attends, all else as on ImageNet; about 2,000 points, 64
bands up to a frequency of 1,120; LAMB at a constant 1e-3, batches of 512,
50,000 steps, within which it is said to be trained; each point scaled by 0.99
to 1.01, then zero mean and the unit cube. docs/paper-tables.md has what was
published. Not trained here.

The paper leaves open how many blocks there are (eight here, as on ImageNet, the
first two beginning with a cross-attend), whether clouds are in the unit cube in
evaluation, too (they are), from where their points come (the surfaces of the
meshes, evenly), and decay and clipping, which are those of the ImageNet recipe
of Jaegle et al. 2021b, as in configs/perceiver_io/imagenet.py. Its best result
is the best of the test set; here, too, `test` chooses the best checkpoint.

`tiny` is for tests.
"""

import ml_collections

from configs import common
from perceiver_io import variants

VARIANTS = ('modelnet40', 'tiny')

_IMAGENET = variants.IMAGE_CLASSIFIERS['original_repeated_2']['encoder']


def get_config(variant: str = 'modelnet40') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = 50_000
  config.task = dict(
    module='perceiver_io.tasks.arrays',
    kind='classes',
    num_outputs=40,
    dense=False,
    y_mean=(),
    y_std=(),
    label_smoothing=0.0,
  )
  config.model = dict(
    channels=ml_collections.config_dict.placeholder(int),  # as they are
    num_bands=64,
    max_resolution=(2 * 1_120,) * 3,
    encoder=_IMAGENET
    | dict(scan_layers=False, remat_policy='everything_saveable'),
    decoder=None,  # the mean over latents
  )
  config.data = common.data(
    'data.arrays.modelnet40',
    split='train',
    batch_size=512,
    num_points=2_000,
    scale=(0.99, 1.01),
  )
  config.evals = dict(
    test=dict(
      module='train_lib.evaluate',
      every_steps=common.part(config.get_ref('num_steps'), 50),
      data=dict(split='test'),
    )
  )
  config.optim = common.adamw(decay='constant', lr=1e-3)
  del config.optim.schedule.end_lr
  config.optim.update(name='lamb', eps=1e-6, weight_decay=0.1, clip_norm=10.0)
  config.checkpoint = common.checkpoint(
    every_steps=common.part(config.get_ref('num_steps'), 50),
    best_metric='test/accuracy',
  )
  config.log_every_steps = 100
  config.update(common.parallel())
  config.init_from = common.from_scratch()
  if variant == 'tiny':
    config.num_steps, config.log_every_steps = 4, 1
    config.checkpoint.every_steps = config.evals.test.every_steps = 2
    config.data.update(source='synthetic', batch_size=8)
    config.data.preprocess.num_points = 32
    config.model.num_bands = 4
    config.model.encoder.update(
      num_latents=8,
      latent_channels=16,
      num_blocks=2,
      num_self_attends_per_block=1,
      num_self_attend_heads=2,
    )
  return config
