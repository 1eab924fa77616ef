"""Perceiver IO on your own clips: pictures and sound, or what there is of them.

  python train.py --config=configs/perceiver_io/finetune_clips.py:demo \
    --config.data.data_dir=clips --workdir=runs/heard_and_seen

`clips` has a folder for each class, or is a table with the columns file, label
and, if you like, start and end; see data/video/folder.py. Each class is there
or not: several may be. The number of classes, of steps and of warm-up steps are
derived from the data and printed. In training the pictures of 30 % of the clips
and the sound of 10 % are hidden, as in audioset.py, so that clips that lack
one of them are recognised, too; `seen` evaluates with the pictures alone and
`heard` with the sound alone.

Variants: `mel`, audioset.py's, of which a run may be fine-tuned; `demo`, small,
on spectrograms of two seconds and eight frames of 64 x 64; `tiny` is for tests.
Not a published recipe.
"""

import ml_collections
from ml_collections import config_dict

from configs import common
from configs.perceiver_io import audioset, finetune_sounds

VARIANTS = ('mel', 'demo', 'tiny')


def get_config(variant: str = 'demo') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = finetune_sounds.get_config('tiny' if variant == 'tiny' else 'demo')
  published = audioset.get_config('mel')
  config.task.dropout = published.task.dropout
  config.data.module = 'data.video.folder'
  if variant == 'mel':
    config.model = published.model
    config.model.num_classes = config_dict.placeholder(int)
    config.optim.schedule.lr = 1e-4
    preprocess = dict(
      num_clips=16,
      num_frames=32,
      frame_stride=1,
      image_size=224,
      num_samples=61_440,
      spectrogram=published.data.preprocess.spectrogram,
    )
  else:
    side = 16 if variant == 'tiny' else 64
    config.model.modalities.image = dict(
      kind='video', spatial=8, temporal=4, num_bands=8
    )
    preprocess = dict(
      num_clips=2 if variant == 'tiny' else 4,
      num_frames=8,
      frame_stride=6,
      image_size=side,
      num_samples=96_000,
      spectrogram=ml_collections.ConfigDict(
        dict(hop=960, window=3_072, num_bands=64)
      ),
    )
  config.data.preprocess = dict(
    num_classes=config_dict.placeholder(int),
    spec_augment=config.data.preprocess.spec_augment,
    hidden=(),
    **preprocess,
  )
  for name, hidden in (('seen', 'audio'), ('heard', 'image')):
    config.evals[name] = config.evals.validation.copy_and_resolve_references()
    config.evals[name].data.preprocess = dict(hidden=(hidden,))
  return config
