"""ImageNet-1k whose large training images were made smaller beforehand.

Not what was published. Images of 'train' with a short side above 512 pixels are
resized to it (bicubic) and written as JPEG of quality 95 again; all others, and
'validation', are the files that they were. So crops are cut from fewer pixels,
and decoding costs less where images are large. Made of what
`data.images.imagenet` prepared, without TensorFlow:

  python -m data.prepare images.imagenet_shrunk --data_dir DIR \
    --imagenet_dir PREPARED

Trained on with --config.data.module=data.images.imagenet_shrunk; evaluators
follow, and their images are ImageNet's own.
"""

import concurrent.futures
import functools
import io
import os
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow_datasets as tfds
from PIL.Image import Resampling

from data import image_ops, tfds_source
from data.images import imagenet

SHORT_SIDE = 512
_QUALITY = 95
_AT_ONCE = 256  # images in memory
_COMMAND = (
  'python -m data.prepare images.imagenet_shrunk --data_dir DIR '
  '--imagenet_dir PREPARED'
)

synthetic = imagenet.synthetic
preprocess = imagenet.preprocess
on_device = imagenet.on_device


class ImagenetShrunk(tfds.core.GeneratorBasedBuilder):
  """See the top of this file.

  Args:
    imagenet_dir: where `data.images.imagenet` prepared it.
    short_side: in pixels.
  """

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First.'}

  def __init__(
    self, *, imagenet_dir: str, short_side: int = SHORT_SIDE, **kwargs: Any
  ):
    self._imagenet_dir, self._short_side = imagenet_dir, short_side
    super().__init__(**kwargs)

  def _info(self):
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(encoding_format='jpeg'),
          'label': tfds.features.ClassLabel(num_classes=1000),
          'file_name': tfds.features.Text(),
        }
      )
    )

  def _split_generators(self, dl_manager):
    del dl_manager
    return {
      split: self._generate_examples(split, side)
      for split, side in (('train', self._short_side), ('validation', None))
    }

  def _generate_examples(self, split, short_side) -> Iterator[tuple[str, Any]]:
    source = imagenet.source(split, self._imagenet_dir)

    def make(i):
      example = source[i]
      if short_side is not None:
        example['image'] = shrunk(example['image'], short_side)
      return example['file_name'].decode(), example

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
      for start in range(0, len(source), _AT_ONCE):
        rows = range(start, min(start + _AT_ONCE, len(source)))
        yield from pool.map(make, rows)


def shrunk(file: bytes, short_side: int) -> bytes:
  """The file itself, or a JPEG whose short side is `short_side` pixels."""
  image = image_ops.open_image(file)
  scale = short_side / min(image.size)
  if scale >= 1:
    return file
  size = [max(short_side, round(scale * side)) for side in image.size]
  written = io.BytesIO()
  image.convert('RGB').resize(size, Resampling.BICUBIC).save(
    written, 'JPEG', quality=_QUALITY
  )
  return written.getvalue()


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """As `imagenet.source`'s."""
  return tfds_source.open_prepared(
    'imagenet_shrunk',
    split,
    data_dir,
    command=_COMMAND,
    decoders={'image': tfds.decode.SkipDecoding()},
  )


def main(argv: list[str]):
  parser = tfds_source.preparation_parser(
    __name__, 'Makes large training images of ImageNet smaller.'
  )
  parser.add_argument(
    '--imagenet_dir', required=True, help='where ImageNet was prepared'
  )
  parser.add_argument(
    '--short_side', type=int, default=SHORT_SIDE, help='in pixels'
  )
  args = parser.parse_args(argv)
  if args.short_side < 1:
    parser.error(
      f'--short_side: found {args.short_side}, expected pixels, from 1.'
    )
  tfds_source.prepare(
    functools.partial(
      ImagenetShrunk,
      imagenet_dir=args.imagenet_dir,
      short_side=args.short_side,
    ),
    args,
    paths=[os.path.join(args.imagenet_dir, imagenet.NAME)],
    options=f'short_side {args.short_side}',
  )
