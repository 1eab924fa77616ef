"""A second real pair with measured motion: the aloe of Middlebury's stereo.

Two photographs of 1,282 x 1,110 pixels and the disparity of the left one's
(Scharstein and Pal 2007), as Debian's package of OpenCV's examples has them:

  apt-get download opencv-doc
  dpkg-deb -x opencv-doc_*.deb opencv
  python -m data.prepare flow.stereo_aloe --data_dir=$HOME/tensorflow_datasets \
    --manual_dir=opencv/usr/share/doc/opencv-doc/examples/data

The flow is (-disparity, 0): 25 to 211 pixels. One example, split 'test'.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from data import tfds_source
from data.flow import flow, flow_archives, stereo_motorcycle

preprocess = flow.preprocess
synthetic = flow.synthetic


class StereoAloe(tfds.core.GeneratorBasedBuilder):
  """Writes OpenCV's files as one pair with flow."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'One pair.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = 'aloeL.jpg, aloeR.jpg and aloeGT.png.'

  def _info(self):
    return self.dataset_info_from_configs(
      description='The aloe of Middlebury stereo 2006, as flow.',
      features=flow_archives.features(),
      homepage='https://vision.middlebury.edu/stereo/data/scenes2006/',
    )

  def _split_generators(self, dl_manager):
    return {'test': self._generate_examples(str(dl_manager.manual_dir))}

  def _generate_examples(self, folder):
    left, right, disparity = (
      tfds_source.manual_file(folder, name, 'opencv-doc')
      for name in ('aloeL.jpg', 'aloeR.jpg', 'aloeGT.png')
    )
    disparity = to_disparity(np.asarray(PIL.Image.open(disparity)))
    yield 'aloe', stereo_motorcycle.pair('aloe', left, right, disparity)


def main(argv):
  instructions = StereoAloe.MANUAL_DOWNLOAD_INSTRUCTIONS
  args = tfds_source.preparation_parser(
    __name__, 'Reads the aloe.', manual_dir=instructions
  ).parse_args(argv)
  tfds_source.prepare(StereoAloe, args)


def to_disparity(pixels: np.ndarray) -> np.ndarray:
  """[H, W] pixels, infinite where the picture is 0: there it is unknown."""
  return np.where(pixels > 0, pixels.astype(np.float32), np.inf)


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """The raw example; see `flow`."""
  return tfds_source.open_prepared(
    StereoAloe.name,
    split,
    data_dir,
    command='python -m data.prepare flow.stereo_aloe',
    decoders={},
  )
