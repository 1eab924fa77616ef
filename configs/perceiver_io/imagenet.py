"""Perceiver IO and the original Perceiver on ImageNet-1k.

  python train.py --config=configs/perceiver_io/imagenet.py:fourier \
    --workdir=runs/fourier

What was published, and what the models cost, is in docs/paper-tables.md. Not
trained here.

`learned`, `fourier`, `conv`: config A, the recipe of appendix A.1 of Jaegle et
al. 2021b and of DeepMind's training code: 110 epochs of 1,024 images, each
mixed of two, so a batch of data holds 2,048. The BatchNorm of `conv`'s stem
takes the statistics of the whole batch, in their program those of a device.
`original_*`: the same without a decoder. `original_repeated` reads the image
before each of its eight blocks, `original_repeated_2` and `_4` before the first
two and four, `original_repeated_first` eight times before the first, and
`original_unshared` has weights of its own in each block; their own paper
(2021a) trains 120 epochs with steps of the learning rate, and what it does not
say is taken from the other recipe.

`*_jft`: config B, fine-tuning (appendix A.2) of what was trained on JFT-300M,
which is not public: --config.init_from.path names the weights, without the
last layer. Augmentation and decay of this fine-tuning are not stated; they are
config A's.
"""

import ml_collections
from ml_collections import config_dict

from configs import common
from perceiver_io import variants

NUM_TRAIN = 1_281_167

VARIANTS = tuple(variants.IMAGE_CLASSIFIERS)

# What `python -m tools.compile_check` compiles, and with which options.
TPU_TOPOLOGIES = {
  variant: (
    'v5e:8x8',
    {'model.encoder.scan_layers': True, 'optim.num_microbatches': 4},
  )
  for variant in ('fourier', 'learned', 'conv')
}


def model(variant: str) -> ml_collections.ConfigDict:
  """The model section of a variant.

  Raises:
    ValueError: if there is no such variant.
  """
  common.check_variant(variant, VARIANTS)
  config = config_dict.create(
    **variants.IMAGE_CLASSIFIERS[variant],
    dtype='float32',  # computation; parameters are always float32
  )
  # The first compiles several times faster if True.
  config.encoder.update(scan_layers=False, remat_policy='everything_saveable')
  return config


def get_config(variant: str = 'fourier') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 42
  config.task = dict(
    module='perceiver_io.tasks.classification',
    label_smoothing=0.1,
    mixing=dict(mixup_alpha=0.2),
  )
  config.model = model(variant)

  config.data = common.data(
    'data.images.imagenet',
    split='train',
    batch_size=2 * 1_024,  # mixing makes one image of two
    image_size=224,
    crop_fraction=224 / 256,
    resize_last=True,
    augment=dict(
      num_layers=4,
      magnitude=5.0,
      magnitude_std=0.0,
      prob=1.0,
      increasing=False,
      fill=(128, 128, 128),
      on_device=False,  # True: on the accelerator, after resizing
    ),
  )
  batch_size = common.part(config.data.get_ref('batch_size'), 2)
  steps_per_epoch = common.num_batches(NUM_TRAIN, batch_size)
  config.num_steps = common.num_batches(110 * NUM_TRAIN, batch_size)
  config.evals = dict(
    validation=dict(
      module='train_lib.evaluate',
      every_steps=common.part(steps_per_epoch),
      data=dict(split='validation', batch_size=1_024),
    )
  )

  schedule = dict(
    lr=common.scaled(5e-4, batch_size, per=256),
    # No warm-up: it often failed.
    flat_steps=config.get_ref('num_steps') // 2,
  )
  if variant.startswith(('original_repeated', 'original_unshared')):
    config.num_steps = common.num_batches(120 * NUM_TRAIN, batch_size)
    shares = tuple(epoch / 120 for epoch in (84, 102, 114))
    schedule = dict(lr=4e-3, decay='step', boundaries=shares, factor=0.1)
  elif variant in ('fourier_jft', 'conv_jft'):
    config.num_steps = 131_000
    lr = 2e-3 if variant == 'fourier_jft' else 2e-4
    schedule = dict(lr=lr, flat_steps=70_000)
  config.optim = common.adamw(**schedule)
  config.optim.update(name='lamb', eps=1e-6, weight_decay=0.1, clip_norm=10.0)

  config.checkpoint = common.checkpoint(
    every_steps=common.part(steps_per_epoch), best_metric='validation/accuracy'
  )
  config.log_every_steps = 100
  config.update(common.parallel())
  config.init_from = common.from_scratch()
  if variant in ('fourier_jft', 'conv_jft'):
    config.init_from.exclude = (r'outputs/linear',)
  return config
