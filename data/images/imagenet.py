"""ImageNet-1k (ILSVRC 2012) as TFDS prepares it.

TFDS needs TensorFlow and the two archives of image-net.org to prepare it, once:

  pip install -e '.[tf]'
  python -m data.prepare images.imagenet --data_dir DIR --manual_dir ARCHIVES

where ARCHIVES holds ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar. To
read it, none of that is needed. Splits: 'train' (1,281,167) and 'validation'
(50,000).
"""

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from data import image_ops, tfds_source
from data.images import device_augment, device_crop, rand_augment

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CROPS = dict(scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
NAME = 'imagenet2012'  # TFDS's
_COMMAND = (
  'python -m data.prepare images.imagenet --data_dir DIR --manual_dir ARCHIVES'
)


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`image` (a JPEG file's bytes), `label` in [0, 1000) and `file_name`."""
  return tfds_source.open_prepared(
    NAME,
    split,
    data_dir,
    command=_COMMAND,
    # Our own decoding can skip what a crop does not show.
    decoders={'image': tfds.decode.SkipDecoding()},
  )


def synthetic(split: str, num_examples: int = 64) -> list[dict[str, Any]]:
  """Real JPEG files of smooth noise, about as large as ImageNet's.

  Every eighth is grey, as some of ImageNet's are.
  """
  rng = np.random.default_rng(list(split.encode()))
  examples = []
  for i in range(num_examples):
    noise = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    size = tuple(int(side) for side in rng.integers(300, 500, 2))
    image = PIL.Image.fromarray(noise).resize(size, PIL.Image.BICUBIC)
    file = io.BytesIO()
    image.convert('L' if i % 8 == 7 else 'RGB').save(file, 'JPEG', quality=90)
    examples.append(
      {
        'image': file.getvalue(),
        'label': np.int64(i % 1000),
        'file_name': f'synthetic_{split}_{i}.JPEG'.encode(),
      }
    )
  return examples


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  image_size: int,
  crop_fraction: float,
  resize_last: bool = False,
  color_jitter: float = 0.0,
  augment: Mapping[str, Any] | None = None,
  crop_on_device: bool = False,
) -> dict[str, np.ndarray]:
  """Decodes, crops, augments in training, and normalises.

  Training: random resized crop (8 % to 100 % of the area), horizontal flip,
  then RandAugment or else colour jitter: timm's recipes switch the jitter off
  where RandAugment is on, so naming both is an error here. Evaluation: short
  side to floor(image_size / crop_fraction), central crop. All bicubic.

  With `resize_last`, as DeepMind trained the Perceivers, crops keep their own
  resolution, are flipped and augmented at it, and then resized as TensorFlow
  does it, not clamped. In evaluation the crop is the central square with
  crop_fraction of the short side. (Their random crops are TensorFlow's, whose
  laws of area and aspect within the same bounds are slightly other ones.)

  Args:
    example: of `source` or `synthetic`; `image` may also be decoded, uint8
      [H, W, 3].
    train: whether to crop at random and augment.
    rng: what to draw from; only used in training.
    image_size: the side of the output in pixels, S.
    crop_fraction: of the evaluation's crop.
    resize_last: see above.
    color_jitter: the strength for brightness, contrast and saturation.
    augment: the fields of `rand_augment.RandAugment`, of which `fill` may be
      left out: it is the mean colour then; and `on_device`, whether that is
      left to `on_device`. None for no RandAugment.
    crop_on_device: whether resizing and flipping the crops of training is left
      to `on_device`, too, and with them all that follows.

  Returns:
    `image` float32 [S, S, 3] and `label` int32 []; with `crop_on_device` in
    training the arrays of `device_crop.on_canvas` in the place of `image`.
  """
  if augment is not None and color_jitter:
    raise ValueError(
      f'preprocess.color_jitter: {color_jitter} would have no effect beside '
      'preprocess.augment; expected one of the two.'
    )
  if crop_on_device:
    _check_crop_on_device(resize_last, color_jitter, augment)
  image = image_ops.open_image(example['image'])
  label = np.int32(example['label'])
  if train:
    if crop_on_device:
      return _crop(image, rng, image_size) | {'label': label}
    if resize_last:
      image = image_ops.random_crop(image, rng, **_CROPS)
    else:
      image = image_ops.random_resized_crop(
        image, rng, size=image_size, **_CROPS
      )
    image = image_ops.random_flip(image, rng)
    if augment is not None:
      if not augment.get('on_device'):
        image = make_augment(augment)(image, rng)
    elif color_jitter:
      image = image_ops.color_jitter(
        image,
        rng,
        brightness=color_jitter,
        contrast=color_jitter,
        saturation=color_jitter,
      )
  elif resize_last:
    image = image_ops.center_crop(image, fraction=crop_fraction)
  else:
    image = image_ops.resize_and_center_crop(
      image, size=image_size, crop_fraction=crop_fraction
    )
  if resize_last:
    image = image_ops.resize_as_tensorflow(image, size=image_size)
  return {'image': image_ops.normalize(image, _MEAN, _STD), 'label': label}


def _check_crop_on_device(resize_last, color_jitter, augment) -> None:
  on_host = augment is not None and not augment.get('on_device')
  for name, value, is_wrong in (
    ('resize_last', resize_last, resize_last),
    ('color_jitter', color_jitter, bool(color_jitter)),
    ('augment.on_device', False, on_host),
  ):
    if is_wrong:
      raise ValueError(
        f'preprocess.{name}: found {value} beside crop_on_device=True; '
        f'expected {type(value)(not value)}, as it follows the crop.'
      )


def _crop(image, rng, size) -> dict[str, np.ndarray]:
  """The same draws as on the host, in the same order."""
  crop, box = image_ops.scaled_crop(image, rng, size=size, **_CROPS)
  side = device_crop.canvas_side(size, _CROPS['ratio'])
  return device_crop.on_canvas(
    crop, box, image_ops.is_flipped(rng), size=size, side=side
  )


def on_device(
  *,
  image_size: int,
  augment: Mapping[str, Any] | None = None,
  crop_on_device: bool = False,
  **options: Any,
) -> Callable[[dict[str, jax.Array], jax.Array], dict[str, jax.Array]] | None:
  """What `preprocess` leaves to the device in training.

  Args:
    image_size, augment, crop_on_device: as `preprocess`'s.
    options: its others.

  Returns:
    None for nothing, or (batch, keys [B]) -> batch: RandAugment of `image`
    [B, S, S, 3] at the size that the model sees. With `resize_last` it is
    otherwise at the crop's own size: this is not quite what was published.
    Crops become `image` first; in a batch that has it already they have.
  """
  del options
  has_augment = augment is not None and augment.get('on_device')
  if not has_augment and not crop_on_device:
    return None
  mean, std = 255 * np.float32(_MEAN), 255 * np.float32(_STD)

  def prepared(batch, keys):
    others = {k: v for k, v in batch.items() if k not in device_crop.KEYS}
    if 'image' in batch:
      dtype = batch['image'].dtype
      pixels = jnp.clip(jnp.round(batch['image'] * std + mean), 0, 255)
    else:
      dtype, pixels = jnp.float32, device_crop.resized(batch, image_size)
    if has_augment:
      law = make_augment(augment)
      pixels = device_augment.rand_augment(law, pixels, keys)
    return others | {'image': ((pixels - mean) / std).astype(dtype)}

  return prepared


def make_augment(augment: Mapping[str, Any]) -> rand_augment.RandAugment:
  """Of `preprocess`'s option `augment`, wherever it is applied."""
  fill = tuple(round(255 * x) for x in _MEAN)
  fields = {k: v for k, v in augment.items() if k != 'on_device'}
  return rand_augment.RandAugment(**{'fill': fill, **fields})


def main(argv: list[str]):
  args = tfds_source.preparation_parser(
    __name__,
    'Prepares ImageNet.',
    manual_dir='holds ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar',
  ).parse_args(argv)
  tfds_source.require_tensorflow('ImageNet')
  tfds_source.prepare(functools.partial(tfds.builder, NAME), args)
