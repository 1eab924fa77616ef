"""The few images that evaluators draw: of a data set, or of any folder."""

import pathlib

import ml_collections
import numpy as np
import PIL.Image

from train_lib.data import pipeline

SUFFIXES = ('.png', '.jpg', '.jpeg')


def load(config: ml_collections.ConfigDict) -> dict[str, np.ndarray]:
  """A batch of them, preprocessed as in evaluation, with its `mask`.

  Args:
    config: an evaluator's: data, image_folder ('' for the data set's images),
      num_images.

  Raises:
    ValueError: the folder has no images.
  """
  source, module = pipeline.open_source(config.data)
  if config.image_folder:
    examples = _folder_examples(
      config.image_folder, config.num_images, source[0]
    )
  else:
    examples = [source[row] for row in spread(len(source), config.num_images)]
  examples = [
    module.preprocess(x, train=False, rng=None, **config.data.preprocess)
    for x in examples
  ]
  batch = {name: np.stack([x[name] for x in examples]) for name in examples[0]}
  return batch | {'mask': np.ones(len(examples), np.float32)}


def spread(length: int, num: int) -> np.ndarray:
  """`num` rows over all of a data set, which may be sorted by class."""
  return np.linspace(0, length - 1, num).astype(int)


def _folder_examples(folder: str, num_images: int, like: dict) -> list[dict]:
  """Raw examples of the first images of a folder, in the form of `like`."""
  root = pathlib.Path(folder)
  paths = sorted(p for p in root.glob('*') if p.suffix.lower() in SUFFIXES)[
    :num_images
  ]
  if not paths:
    raise ValueError(
      f'config.evals.<name>.image_folder: found no {SUFFIXES} in {root}.'
    )
  return [like | {'image': _read_like(p, like['image'])} for p in paths]


def _read_like(path: pathlib.Path, like: bytes | np.ndarray):
  if isinstance(like, bytes):  # The data set's own preprocessing decodes.
    return path.read_bytes()
  height, width, channels = like.shape
  picture = PIL.Image.open(path).convert('L' if channels == 1 else 'RGB')
  pixels = np.asarray(picture.resize((width, height)))
  return pixels.reshape(like.shape)
