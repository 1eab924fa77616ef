"""A real pair with measured motion: the motorcycle of Middlebury's 2014 stereo.

Two cameras side by side, 741 x 500 pixels, as scikit-image ships them
(Scharstein et al. 2014, measured with structured light). What the left one sees
at x the right one sees at x - disparity, so the flow is (-disparity, 0): 7 to
60 pixels. One example, split 'test'.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from data import tfds_source
from data.flow import flow, flow_archives

preprocess = flow.preprocess
synthetic = flow.synthetic


class StereoMotorcycle(tfds.core.GeneratorBasedBuilder):
  """Writes scikit-image's files as one pair with flow."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'One pair.'}

  def _info(self):
    return self.dataset_info_from_configs(
      description='The motorcycle of Middlebury stereo 2014, as flow.',
      features=flow_archives.features(),
      homepage='https://vision.middlebury.edu/stereo/data/scenes2014/',
    )

  def _split_generators(self, dl_manager):
    return {'test': self._generate_examples()}

  def _generate_examples(self):
    left, right, disparity = (
      tfds_source.package_file('skimage', f'data/{name}', extra='demo')
      for name in (
        'motorcycle_left.png',
        'motorcycle_right.png',
        'motorcycle_disp.npz',
      )
    )
    disparity = np.load(disparity)['arr_0']
    yield 'motorcycle', pair('motorcycle', left, right, disparity)


def pair(name: str, left: str, right: str, disparity: np.ndarray) -> dict:
  """An example of `flow_archives.features`.

  Args:
    name: of the scene.
    left, right: files of the photographs.
    disparity: [H, W] pixels, not finite where it is unknown.
  """
  valid = np.isfinite(disparity)
  motion = np.where(valid, -disparity, 0).astype(np.float32)
  return {
    'name': name,
    'frame1': PIL.Image.open(left).convert('RGB'),
    'frame2': PIL.Image.open(right).convert('RGB'),
    'flow': np.stack([motion, np.zeros_like(motion)], axis=-1),
    'valid': valid.astype(np.uint8),
  }


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """The raw example; see `flow`."""
  return tfds_source.prepare_and_open(StereoMotorcycle, split, data_dir)
