"""Mixup, cutmix, label smoothing and random erasing, on the device.

For a training loss to call, inside the jitted step: all shapes are static, and
a batch sharded over devices is mixed as one global batch.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

# Random erasing (Zhong et al. 2017, arXiv 1708.04896) as timm sets it.
_ERASED_AREA = (0.02, 1 / 3)  # share of the image, uniform
_ERASED_ASPECT = (0.3, 1 / 0.3)  # height / width, log-uniform
_ATTEMPTS = 10  # at a box that fits


@dataclasses.dataclass(frozen=True)
class Mixing:
  """Turns labelled images into mixed images with soft labels.

  As the authors' loader does: the whole batch is mixed with the batch reversed,
  with one weight per batch, either by mixup (Zhang et al. 2017, arXiv
  1710.09412) or by cutmix (Yun et al. 2019, arXiv 1905.04899), while it is put
  together; of the mixed images some then lose a box. Its batch is that of one
  GPU; here it is the global batch.

  Attributes:
    num_classes: K.
    mixup_alpha: the weight of mixup is Beta(alpha, alpha); 0 for no mixup.
    cutmix_alpha: the same for cutmix.
    prob: the probability that a batch is mixed.
    switch_prob: the probability of cutmix where both are on.
    label_smoothing: the share of a label that is spread over all classes.
    erasing_prob: the probability that one box of a mixed image becomes noise.
  """

  num_classes: int
  mixup_alpha: float
  cutmix_alpha: float
  prob: float
  switch_prob: float
  label_smoothing: float
  erasing_prob: float

  def __post_init__(self):
    if self.num_classes < 1:
      raise ValueError(
        f'num_classes: expected at least 1, found {self.num_classes}.'
      )
    for field in ('mixup_alpha', 'cutmix_alpha'):
      if getattr(self, field) < 0:
        raise ValueError(
          f'{field}: expected 0 (off) or more, found {getattr(self, field)}.'
        )
    for field in ('prob', 'switch_prob', 'label_smoothing', 'erasing_prob'):
      if not 0 <= getattr(self, field) <= 1:
        raise ValueError(
          f'{field}: expected a value in [0, 1], found {getattr(self, field)}.'
        )

  def __call__(
    self, rng: jax.Array, images: jax.Array, labels: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Mixes and erases.

    Args:
      rng: a key.
      images: [B, H, W, C], normalised (the noise is standard normal).
      labels: [B], integers in [0, K).

    Returns:
      Images like `images` and soft labels float32 [B, K], which sum to 1.
    """
    _check_inputs(images, labels)
    erase_rng, mix_rng = jax.random.split(rng)
    soft_labels = _soft_labels(labels, self.num_classes, self.label_smoothing)
    if self.prob and (self.mixup_alpha or self.cutmix_alpha):
      pixel_weight, weight = self._weights(mix_rng, *images.shape[1:3])
      pixel_weight = pixel_weight[:, :, None].astype(images.dtype)
      images = pixel_weight * images + (1 - pixel_weight) * images[::-1]
      soft_labels = weight * soft_labels + (1 - weight) * soft_labels[::-1]
    if self.erasing_prob:
      images = random_erasing(erase_rng, images, self.erasing_prob)
    return images, soft_labels

  def _weights(self, rng, height, width) -> tuple[jax.Array, jax.Array]:
    """The weight of an image itself: per pixel [H, W], and of its label []."""
    switch_rng, weight_rng, box_rng = jax.random.split(rng, 3)
    mix, switch = jax.random.uniform(switch_rng, (2,))
    use_cutmix = (self.mixup_alpha == 0) | (switch < self.switch_prob)
    use_cutmix &= self.cutmix_alpha > 0
    alpha = jnp.where(use_cutmix, self.cutmix_alpha, self.mixup_alpha)
    weight = jax.random.beta(weight_rng, alpha, alpha)
    box = _cutmix_box(box_rng, weight, height, width)
    pixel_weight = jnp.where(use_cutmix, 1 - box, weight)
    pixel_weight = jnp.where(mix < self.prob, pixel_weight, 1.0)
    # The mean corrects cutmix for what the border cut off its box.
    return pixel_weight, jnp.mean(pixel_weight)


@dataclasses.dataclass(frozen=True)
class HalvesMixing:
  """Mixes pairs of images: half of the pairs by mixup, half by cutmix.

  As the Perceivers were trained on ImageNet (DeepMind's training code, after
  NFNets'). Every output is made of two images of its own, with a weight or a
  box of its own: the first half of the outputs by mixup, with weights from
  Beta(alpha, alpha), the second by cutmix, whose boxes, inside which the first
  image is seen, have areas uniform in [0, 1] (less what the border cuts off).
  Neighbours in the batch are a pair, so that no image changes its device.

  Attributes:
    num_classes: K.
    mixup_alpha: of mixup's weights.
    label_smoothing: the share of a label that is spread over all classes.
  """

  num_classes: int
  mixup_alpha: float
  label_smoothing: float

  def __post_init__(self):
    if self.num_classes < 1:
      raise ValueError(
        f'num_classes: expected at least 1, found {self.num_classes}.'
      )
    if self.mixup_alpha <= 0:
      raise ValueError(
        f'mixup_alpha: expected more than 0, found {self.mixup_alpha}.'
      )
    if not 0 <= self.label_smoothing <= 1:
      raise ValueError(
        'label_smoothing: expected a value in [0, 1], found '
        f'{self.label_smoothing}.'
      )

  def __call__(
    self, rng: jax.Array, images: jax.Array, labels: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Mixes images 2 i and 2 i + 1 to output i.

    Args:
      rng: a key.
      images: [2 B, H, W, C].
      labels: [2 B], integers in [0, K).

    Returns:
      Images [B, H, W, C] and soft labels float32 [B, K], which sum to 1.
    """
    _check_inputs(images, labels)
    if len(images) % 2:
      raise ValueError(
        f'images: found {len(images)}, expected an even number: two an output.'
      )
    soft_labels = _soft_labels(labels, self.num_classes, self.label_smoothing)
    first, second = _pairs(images)
    pixel_weight = self._weights(rng, *first.shape[:3])
    weight = jnp.mean(pixel_weight, axis=(1, 2))[:, None]
    pixel_weight = pixel_weight[..., None].astype(images.dtype)
    images = pixel_weight * first + (1 - pixel_weight) * second
    first, second = _pairs(soft_labels)
    return images, weight * first + (1 - weight) * second

  def _weights(self, rng, batch, height, width) -> jax.Array:
    """The weights of the first images' pixels, [B, H, W]."""
    mixup_rng, area_rng, box_rng = jax.random.split(rng, 3)
    mixup = jax.random.beta(
      mixup_rng, self.mixup_alpha, self.mixup_alpha, (batch, 1, 1)
    )
    boxes = jax.vmap(_cutmix_box, (0, 0, None, None))(
      jax.random.split(box_rng, batch),
      jax.random.uniform(area_rng, (batch,)),
      height,
      width,
    )
    first_half = jnp.arange(batch)[:, None, None] < batch // 2
    return jnp.where(first_half, mixup, boxes)


def _pairs(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """[2 B, ...] -> every other element from 0 and from 1, [B, ...] each."""
  x = x.reshape(-1, 2, *x.shape[1:])
  return x[:, 0], x[:, 1]


def _check_inputs(images: jax.Array, labels: jax.Array):
  if images.ndim != 4 or labels.shape != images.shape[:1]:
    raise ValueError(
      'expected images [B, H, W, C] and labels [B], found '
      f'{images.shape} and {labels.shape}.'
    )


def _soft_labels(labels, num_classes, label_smoothing) -> jax.Array:
  one_hot = jax.nn.one_hot(labels, num_classes)
  return one_hot * (1 - label_smoothing) + label_smoothing / num_classes


def random_erasing(rng: jax.Array, images: jax.Array, prob: float) -> jax.Array:
  """Replaces one box of some images by standard normal noise.

  timm's `pixel` mode with one box: of ten boxes drawn, the first that fits.

  Args:
    rng: a key.
    images: [B, H, W, C].
    prob: the probability that an image loses a box.

  Returns:
    Images like `images`.
  """
  batch, height, width, _ = images.shape
  box_rng, place_rng, noise_rng = jax.random.split(rng, 3)
  share, aspect = jax.random.uniform(box_rng, (2, batch, _ATTEMPTS))
  low, high = _ERASED_AREA
  area = height * width * (low + (high - low) * share)
  low, high = (math.log(x) for x in _ERASED_ASPECT)
  aspect = jnp.exp(low + (high - low) * aspect)
  box_height = jnp.round(jnp.sqrt(area * aspect))
  box_width = jnp.round(jnp.sqrt(area / aspect))
  fits = (box_height < height) & (box_width < width)
  first = jnp.argmax(fits, axis=1)[:, None]
  box_height = jnp.take_along_axis(box_height, first, axis=1)[:, 0]
  box_width = jnp.take_along_axis(box_width, first, axis=1)[:, 0]
  top, left, erase = jax.random.uniform(place_rng, (3, batch))
  # Integers in [0, size - box], ends included.
  top = jnp.floor(top * (height - box_height + 1))
  left = jnp.floor(left * (width - box_width + 1))
  erase = (erase < prob) & jnp.any(fits, axis=1)
  inside = _inside(top, box_height, height)[:, :, None]
  inside &= _inside(left, box_width, width)[:, None, :]
  inside &= erase[:, None, None]
  noise = jax.random.normal(noise_rng, images.shape, images.dtype)
  return jnp.where(inside[..., None], noise, images)


def _inside(start: jax.Array, length: jax.Array, size: int) -> jax.Array:
  """Whether a place is in [start, start + length): bool [B, size]."""
  places = jnp.arange(size)
  return (places >= start[:, None]) & (places < (start + length)[:, None])


def _cutmix_box(rng, weight, height, width) -> jax.Array:
  """1 inside a box of about (1 - weight) of the area, else 0: float [H, W]."""
  sizes = jnp.array([height, width])
  centres = jnp.floor(jax.random.uniform(rng, (2,)) * sizes)
  halves = jnp.floor(jnp.sqrt(1 - weight) * sizes) // 2
  rows = _inside(centres[:1] - halves[:1], 2 * halves[:1], height)
  columns = _inside(centres[1:] - halves[1:], 2 * halves[1:], width)
  return (rows.T & columns).astype(jnp.float32)
