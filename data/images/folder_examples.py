"""The few images that evaluators draw: of a data set, or of any folder."""

import pathlib

import ml_collections
import numpy as np
import PIL.Image

from train_lib import pipeline

SUFFIXES = ('.png', '.jpg', '.jpeg')


def load(config: ml_collections.ConfigDict) -> dict[str, np.ndarray]:
  """A batch of them, preprocessed as in evaluation, with its `mask`.

  Args:
    config: an evaluator's: data, image_folder ('' for the data set's images),
      num_images.

  Raises:
    ValueError: the folder has no images.
  """
  if not config.image_folder:
    return pipeline.collate(
      pipeline.few_examples(config.data, config.num_images)
    )
  source, module = pipeline.open_source(config.data)
  preprocess = pipeline.eval_preprocess(module, config.data)
  raw = _folder_examples(config.image_folder, config.num_images, source[0])
  return pipeline.collate([preprocess(x) for x in raw])


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
