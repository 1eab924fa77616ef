"""Perceiver IO autoencodes your own clips: pictures, sound and class.

  python train.py --config=configs/perceiver_io/autoencode_clips.py:demo \
    --config.data.data_dir=clips --workdir=runs/autoencoded

`clips` has a folder for each class, or is a table with the columns file, label
and, if you like, start and end; see data/video/folder.py. What a clip lacks,
pictures or sound, counts neither in the loss nor in the metrics. The number of
classes, of steps and of warm-up steps are derived from the data and printed.

Variants: the models of kinetics.py and its `demo`; `tiny` is for tests. The
published weights have 700 classes, whose one-hot vectors are the widest of all
inputs, so that with other classes no input has their width: these are trained
from scratch, or from a run with as many classes.
"""

import ml_collections
from ml_collections import config_dict

from configs import common
from configs.perceiver_io import kinetics
from perceiver_io import variants

VARIANTS = (*variants.AUTOENCODERS, 'demo', 'tiny')


def get_config(variant: str = 'demo') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = kinetics.get_config(variant)
  config.derive = common.derive('model.num_classes', epochs=100.0)
  config.num_steps = config_dict.placeholder(int)
  config.model.num_classes = config_dict.placeholder(int)
  small = variant in ('demo', 'tiny')
  size = config.data.preprocess if small else {}
  config.data = common.data(
    'data.video.folder_films',
    split='train',
    batch_size=8 if small else 64,
    num_frames=size.get('num_frames', 16),
    image_size=size.get('image_size', 224),
    num_samples=size.get('num_samples', 30_720),
    gain=size.get('gain', 1.0),
  )
  for section in config.evals.values():
    section.data = dict(split='validation')
    section.every_steps = config_dict.placeholder(int)
  config.optim.schedule.warmup_steps = config_dict.placeholder(int)
  config.checkpoint.every_steps = config_dict.placeholder(int)
  config.log_every_steps = config_dict.placeholder(int)
  if variant == 'tiny':
    config.derive.min_steps, config.derive.num_evaluations = 20, 1
    config.derive.epochs = 2.0
  return config
