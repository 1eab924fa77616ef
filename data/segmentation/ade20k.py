"""ADE20K's 150 classes (SceneParse150) as TFDS prepares it.

TFDS needs TensorFlow to prepare it, once:

  pip install -e '.[tf]'
  python -m data.prepare segmentation.ade20k --data_dir DIR

To read it, that is not needed. Splits: 'train' (20,210), 'test' (2,000, the
benchmark's validation images).
"""

import functools
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from data import image_ops, tfds_source
from data.segmentation import segmentation_ops

NUM_CLASSES = 150
_COMMAND = 'python -m data.prepare segmentation.ade20k --data_dir DIR'


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`image` (a JPEG's bytes) and `annotation` (a PNG's), 0 for no class."""
  skip = tfds.decode.SkipDecoding()
  return tfds_source.open_prepared(
    'scene_parse150',
    split,
    data_dir,
    command=_COMMAND,
    decoders={'image': skip, 'annotation': skip},
  )


def synthetic(split: str, num_examples: int = 16) -> list[dict[str, Any]]:
  """Real files of coloured rectangles, of ADE20K's sizes; labels 0 to 150."""
  rng = np.random.default_rng(list(split.encode()))
  palette = np.random.default_rng(0).integers(0, 256, (NUM_CLASSES + 1, 3))
  examples = []
  for i in range(num_examples):
    size = (683, 512) if i % 2 else (256, 320)
    coarse = rng.integers(0, NUM_CLASSES + 1, (6, 8)).astype(np.uint8)
    labels = PIL.Image.fromarray(coarse).resize(size, PIL.Image.NEAREST)
    image = palette[np.asarray(labels)] + rng.integers(-20, 20, (1, 1, 3))
    image = PIL.Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    files = {'image': io.BytesIO(), 'annotation': io.BytesIO()}
    image.save(files['image'], 'JPEG')
    # TFDS stores three equal channels.
    PIL.Image.merge('RGB', [labels] * 3).save(files['annotation'], 'PNG')
    examples.append({name: file.getvalue() for name, file in files.items()})
  return examples


def preprocess(example: dict[str, Any], **options) -> dict[str, np.ndarray]:
  """`segmentation_ops.preprocess_photo`; label 0 is ignored, others fall by 1.

  Args:
    example: of `source` or `synthetic`; decoded arrays are accepted, too.
    **options: as there.
  """
  image = image_ops.open_image(example['image']).convert('RGB')
  annotation = example['annotation']
  if isinstance(annotation, bytes):
    annotation = np.asarray(PIL.Image.open(io.BytesIO(annotation)))
  labels = annotation[..., 0] if annotation.ndim == 3 else annotation
  segmentation_ops.check_pair(image, labels, 'annotation')
  labels = labels - np.uint8(1)  # 0 wraps to 255
  segmentation_ops.check_values(labels, NUM_CLASSES, 'annotation')
  return segmentation_ops.preprocess_photo(image, labels, **options)


def main(argv: list[str]):
  parser = tfds_source.preparation_parser(__name__, 'Prepares ADE20K.')
  args = parser.parse_args(argv)
  tfds_source.require_tensorflow('SceneParse150')
  tfds_source.prepare(functools.partial(tfds.builder, 'scene_parse150'), args)
