"""PaCa-ViT as an image classifier.

Shapes: B batch, H height, W width, C channels, K classes.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from paca_vit import backbone, layers


class PacaViT(nn.Module):
  """The backbone, the mean over its last map and a linear layer."""

  backbone: backbone.PacaBackbone
  num_classes: int

  @nn.compact
  def __call__(
    self, images: jax.Array, train: bool, return_features: bool = False
  ) -> jax.Array | tuple[jax.Array, backbone.Features]:
    """Maps images [B, (T,) H, W, C] to logits [B, K] in float32 or wider.

    Training draws from the rng 'drop_path' and, with a teacher, updates the
    collection 'batch_stats'. With `return_features` the second result has the
    map of each stage and the cluster assignment of each block.
    """
    features = self.backbone(images, train)
    x = features.maps[-1]
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    x = jnp.mean(x.astype(dtype), axis=tuple(range(1, x.ndim - 1)))
    logits = layers.Linear(self.num_classes, dtype=dtype, name='head')(x)
    return (logits, features) if return_features else logits


def make_classifier(config: Mapping[str, Any]) -> PacaViT:
  """Builds the classifier of what `backbone.make_backbone` takes, too."""
  return PacaViT(backbone.make_backbone(config), config['num_classes'])
