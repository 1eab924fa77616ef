"""The few images that evaluators draw: of a data set, or of any folder."""

from typing import Any

import ml_collections
import numpy as np

from data import image_files
from train_lib import batch_layout, pipeline


def load(config: ml_collections.ConfigDict) -> dict[str, np.ndarray]:
  """A batch of them, preprocessed as in evaluation, with its `mask`.

  Args:
    config: an evaluator's: data, image_folder ('' for the data set's images),
      num_images.

  Raises:
    ValueError: the folder has no images.
  """
  if not config.image_folder:
    return batch_layout.collate(
      pipeline.few_examples(config.data, config.num_images)
    )
  source, module = pipeline.open_source(config.data)
  preprocess = pipeline.eval_preprocess(module, config.data)
  raw = _folder_examples(config.image_folder, config.num_images, source[0])
  return batch_layout.collate([preprocess(x) for x in raw])


def _folder_examples(folder: str, num_images: int, like: dict) -> list[dict]:
  """Raw examples of the first images of a folder, in the form of `like`."""
  try:
    paths = image_files.image_paths(folder)[:num_images]
  except FileNotFoundError as e:
    raise ValueError(f'config.evals.<name>.image_folder: {e}') from e
  return [like | {'image': read_like(p, like['image'])} for p in paths]


def read_like(file: image_files.File, like: Any) -> np.ndarray:
  """A user's picture in the form of a data set's: uint8 [H, W, C].

  Args:
    file: a path or a file's bytes.
    like: the raw image of an example. If it is of pixels, its size and number
      of channels count; if it is a file, the picture keeps its own size.

  Raises:
    ValueError: naming the file, which is no picture.
  """
  picture = image_files.read_image(file)
  if not isinstance(like, np.ndarray):
    return np.asarray(picture)
  height, width, channels = like.shape
  if channels == 1:
    picture = picture.convert('L')
  return np.asarray(picture.resize((width, height))).reshape(like.shape)
