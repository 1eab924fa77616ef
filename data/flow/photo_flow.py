"""Pairs of frames composed of real photographs, whose flow is exactly known.

Photographs that scikit-learn and scikit-image ship, as a TFDS data set; in
every pair one of them is the background and others, cut out as polygons, lie
before it. Each layer moves by an affine map of its own and is bent a little. In
a pair like stereo they are slanted surfaces before two cameras side by side:
all move to the left, what is nearer by more. Photographs of the test split are
in no training pair.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from data import tfds_source
from data.flow import flow, geometry, layers

# (package, folder, files). Also the grey ones become RGB.
_PHOTOGRAPHS = {
  'train': (
    ('sklearn', 'datasets/images', ('flower.jpg',)),
    (
      'skimage',
      'data',
      (
        'astronaut.png',
        'brick.png',
        'camera.png',
        'chelsea.png',
        'grass.png',
        'hubble_deep_field.jpg',
        'ihc.png',
        'moon.png',
        'rocket.jpg',
      ),
    ),
  ),
  'test': (
    ('sklearn', 'datasets/images', ('china.jpg',)),
    ('skimage', 'data', ('coffee.png', 'gravel.png')),
  ),
}
_NUM_PAIRS = {'train': 20_000, 'test': 128}
_MIN_SIDE = 64  # of the coarsest texture, in pixels


class PhotoFlow(tfds.core.GeneratorBasedBuilder):
  """Writes the photographs; pairs are composed when they are read."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': '10 photographs train, 3 test.'}

  def _info(self):
    return self.dataset_info_from_configs(
      description='Photographs that scikit-learn and scikit-image ship.',
      features=tfds.features.FeaturesDict(
        {
          'name': tfds.features.Text(),
          'image': tfds.features.Image(encoding_format='png'),
        }
      ),
      homepage='https://scikit-image.org',
    )

  def _split_generators(self, dl_manager):
    return {
      split: self._generate_examples(groups)
      for split, groups in _PHOTOGRAPHS.items()
    }

  def _generate_examples(self, groups):
    for package, folder, files in groups:
      for file in files:
        path = tfds_source.package_file(
          package, f'{folder}/{file}', extra='demo'
        )
        image = PIL.Image.open(path).convert('RGB')
        yield file, {'name': file, 'image': image}


def source(split: str, data_dir: str | None) -> list[dict[str, Any]]:
  """Indices of pairs, each with all photographs of the split.

  `photographs`: for each a list of textures uint8 [H, W, 3], every one half the
  size of the one before; `index`.
  """
  photographs = [
    _textures(example['image'])
    for example in tfds_source.prepare_and_open(PhotoFlow, split, data_dir)
  ]
  return _pairs(photographs, _NUM_PAIRS[split])


def synthetic(split: str, num_examples: int = 16) -> list[dict[str, Any]]:
  """Examples shaped like `source`'s: smooth noise instead of photographs."""
  rng = np.random.default_rng(list(split.encode()))
  noise = [rng.integers(0, 256, (12, 16, 3), dtype=np.uint8) for _ in range(3)]
  images = [PIL.Image.fromarray(x).resize((320, 240)) for x in noise]
  return _pairs([_textures(np.asarray(x)) for x in images], num_examples)


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  size: tuple[int, int],
  max_motion: float,
  max_cutouts: int,
  stereo_share: float = 0.0,
  augment: dict[str, Any] | None = None,
) -> dict[str, np.ndarray]:
  """Composes a pair: another one at every call in training.

  Args:
    example: of `source` or `synthetic`.
    train: whether to augment, and to draw the pair from `rng`; in evaluation
      the index of the example decides everything.
    rng: what to draw from; only used in training.
    size: height and width of the frames.
    max_motion: the longest translation of a layer in pixels; rotation, zoom and
      bend add up to half as much.
    max_cutouts: the most layers before the background.
    stereo_share: of pairs that are like stereo.
    augment: see `flow.preprocess`.

  Returns:
    As `flow.preprocess`; `valid` is 0 where the point of frame 1 is hidden in
    frame 2 or has left it.
  """
  draw = rng if train else np.random.default_rng(example['index'])
  drawn = [
    draw_layer(draw, example['photographs'], size, max_motion, cut_out=i > 0)
    for i in range(1 + draw.integers(max_cutouts, endpoint=True))
  ]
  if stereo_share and draw.random() < stereo_share:
    drawn = layers.as_stereo(drawn, size)
  return flow.preprocess(
    layers.compose(drawn, size),
    train=train,
    rng=rng,
    size=size,
    augment=augment,
  )


def draw_layer(
  rng: np.random.Generator,
  photographs: Sequence[Sequence[np.ndarray]],
  size: tuple[int, int],
  max_motion: float,
  *,
  cut_out: bool,
) -> layers.Layer:
  """A layer of a random photograph, shape and motion.

  Args:
    rng: what to draw from.
    photographs: as `source` gives them.
    size: height and width of the frames.
    max_motion: see `preprocess`.
    cut_out: whether a polygon bounds it.
  """
  height, width = size
  extent = np.array([width, height], np.float64)
  textures = photographs[rng.integers(len(photographs))]
  texture = textures[rng.integers(len(textures))]
  # One texture pixel a pixel, more or less, or the texture would alias.
  angle = rng.uniform(-math.pi, math.pi)
  linear = geometry.linear(angle, rng.uniform(0.5, 1.2), 0.0)
  anchor = rng.uniform(0, 1, 2) * texture.shape[1::-1]
  placement = geometry.about(linear, extent / 2, anchor)

  centre = extent * (rng.uniform(0, 1, 2) if cut_out else 0.5)
  polygon = None
  if cut_out:
    num_vertices = rng.integers(3, 10)
    angles = np.sort(rng.uniform(0, 2 * math.pi, num_vertices))
    radii = (
      min(size) * rng.uniform(0.1, 0.5) * rng.uniform(0.5, 1, num_vertices)
    )
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    polygon = centre + radii[:, None] * directions

  heading = rng.uniform(-math.pi, math.pi)
  shift = rng.uniform(0, max_motion)
  shift *= np.array([math.cos(heading), math.sin(heading)])
  # Rotation, zoom and shear move the far corners by a third of the rest.
  strength = max_motion / 3 / np.linalg.norm(extent / 2) / math.sqrt(3)
  turn, zoom, shear = rng.uniform(-strength, strength, 3)
  motion = geometry.about(
    geometry.linear(turn, 1 + zoom, shear), centre, centre + shift
  )

  wavelengths = max(size) * rng.uniform(0.5, 2, 2)
  headings = rng.uniform(-math.pi, math.pi, 2)
  frequencies = (
    2
    * math.pi
    / wavelengths[:, None]
    * np.stack([np.cos(headings), np.sin(headings)], axis=-1)
  )
  amplitudes = max_motion / 12 / math.sqrt(2) * rng.uniform(-1, 1, (2, 2))
  phases = rng.uniform(-math.pi, math.pi, (2, 1))
  bend = np.concatenate([amplitudes, frequencies, phases], axis=-1)
  return layers.Layer(texture, placement, polygon, motion, bend)


def _textures(image: np.ndarray) -> list[np.ndarray]:
  """An image and its halves, down to the smallest that is large enough."""
  textures = [image]
  while min(textures[-1].shape[:2]) >= 2 * _MIN_SIDE:
    half = PIL.Image.fromarray(textures[-1]).reduce(2)
    textures.append(np.asarray(half))
  return textures


def _pairs(photographs, num_pairs: int) -> list[dict[str, Any]]:
  return [{'photographs': photographs, 'index': i} for i in range(num_pairs)]
