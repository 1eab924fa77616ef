"""The three films of `films`, and two more that Debian packages.

OpenCV's examples have a square that people cross and the trailer of an animated
film: 795 and 270 frames at 10 and 24 a second. (The third, a tree in the wind,
stands still for up to a second: its frames have no order.)

  apt-get download opencv-doc
  dpkg-deb -x opencv-doc_*.deb opencv
  python -m data.prepare video.five_films --data_dir=$HOME/tensorflow_datasets \
    --manual_dir=opencv/usr/share/doc/opencv-doc/examples/data

A second is 25 frames here, too, whatever the film's rate. Of all films 46
train and 14 test, as windows of ten classes; `films` says which.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data import tfds_source
from data.video import films

MORE = ('vtest', 'Megamind')
FILMS = (*films.FILMS, *MORE)
CLASSES = films.classes_of(FILMS)
preprocess = films.preprocess
read_file = films.read_file
synthetic = films.synthetic


class OpencvFilms(tfds.core.GeneratorBasedBuilder):
  """Writes seconds of OpenCV's films."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'Every fourth second tests.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = 'vtest.avi and Megamind.avi.'

  def _info(self):
    return self.dataset_info_from_configs(
      description="Seconds of two of OpenCV's films.",
      features=films.features(MORE),
      homepage='https://docs.opencv.org',
    )

  def _split_generators(self, dl_manager):
    folder = str(dl_manager.manual_dir)
    return {
      'train': self._generate_examples(folder, tests=False),
      'test': self._generate_examples(folder, tests=True),
    }

  def _generate_examples(self, folder, tests):
    for name in MORE:
      path = tfds_source.manual_file(folder, f'{name}.avi', 'opencv-doc')
      yield from films.seconds_of(name, path, tests)


def main(argv):
  instructions = OpencvFilms.MANUAL_DOWNLOAD_INSTRUCTIONS
  args = tfds_source.preparation_parser(
    __name__, "Reads OpenCV's films.", manual_dir=instructions
  ).parse_args(argv)
  tfds_source.prepare(OpencvFilms, args)


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`films.source` of five films.

  Raises:
    FileNotFoundError: OpenCV's films are not prepared.
  """
  more = tfds_source.open_prepared(
    OpencvFilms.name,
    split,
    data_dir,
    command='python -m data.prepare video.five_films',
    decoders={},
  )
  return films.windows(
    [
      *tfds_source.prepare_and_open(films.Films, split, data_dir),
      *(x | {'film': x['film'] + np.int64(len(films.FILMS))} for x in more),
    ]
  )
