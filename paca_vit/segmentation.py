"""PaCa-ViT for dense prediction: the backbone and a head for each pixel.

`PacaHead` is the authors' own (github.com/iVMCL/PaCaViT); `UperHead` (Xiao et
al. 2018, arXiv 1807.10221) with an auxiliary `FcnHead` is the usual one, as in
mmsegmentation.

Shapes: B batch, H, W of an image, h, w of the first stage's map (a quarter),
N = h w patches, M clusters, C channels of a stage, D of the head, K outputs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from paca_vit import backbone, clustering, layers
from perceiver_paca.ops import attention, resize


@flax.struct.dataclass
class Outputs:
  """What a segmenter returns, in float32 or wider.

  Attributes:
    logits: [B, h, w, K].
    auxiliary_logits: of the loss beside the main one. `PacaHead`: its
      clusters' [B, h, w, M] before the softmax over the patches. With an
      auxiliary head: its [B, ., ., K] in training, else None.
  """

  logits: jax.Array
  auxiliary_logits: jax.Array | None = None


class ConvNormRelu(nn.Module):
  """A convolution without bias, BatchNorm, ReLU."""

  channels: int
  kernel_size: int = 1
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    if self.kernel_size == 1:
      x = layers.Conv1x1(
        self.channels, use_bias=False, dtype=self.dtype, name='conv'
      )(x)
    else:
      x = layers.Conv(
        self.channels,
        kernel_size=(self.kernel_size, self.kernel_size),
        use_bias=False,
        dtype=self.dtype,
        name='conv',
      )(x)
    return nn.relu(layers.BatchNorm(self.dtype, name='norm')(x, train))


class LinearNormRelu(nn.Module):
  """A linear layer, BatchNorm over examples and clusters, ReLU."""

  channels: int
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    x = _torch_linear(self.channels, x, self.dtype, 'linear')
    return nn.relu(layers.BatchNorm(self.dtype, name='norm')(x, train))


class PixelOutputs(nn.Module):
  """Drops whole channels in training, then a linear layer for each pixel."""

  num_outputs: int
  dropout_rate: float

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    x = nn.Dropout(self.dropout_rate, broadcast_dims=(1, 2))(x, not train)
    return nn.Dense(
      self.num_outputs,
      kernel_init=nn.initializers.normal(0.01),
      dtype=x.dtype,
      name='linear',
    )(x)


class PacaHead(nn.Module):
  """Pixels ask clusters that the labels supervise: one for each class.

  All stages' maps are brought to the first one's size. The attention has a
  single head, no scaling of its logits and no residual, as published.

  Attributes:
    num_outputs: K.
    num_clusters: M; K where the labels supervise the clusters.
    channels: D.
    dropout_rate: of the channels before the last layer.
  """

  num_outputs: int
  num_clusters: int
  channels: int = 256
  dropout_rate: float = 0.1
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, maps: Sequence[jax.Array], train: bool) -> Outputs:
    """Maps the stages' maps [B, ., ., C] to `Outputs`."""

    def conv(name):
      return ConvNormRelu(self.channels, dtype=self.dtype, name=name)

    size = maps[0].shape[1:3]
    levels = [conv(f'level_{i}')(x, train) for i, x in enumerate(maps)]
    x = _concatenate(levels, size)
    cluster_logits = _torch_linear(
      self.num_clusters,
      conv('clustering')(x, train),
      self.dtype,
      'to_clusters',
    )
    query = conv('query')(x, train)
    clusters = jnp.einsum(
      'BMN,BNC->BMC',
      clustering.assign(cluster_logits),
      x.reshape(x.shape[0], -1, x.shape[-1]),
      preferred_element_type=jnp.promote_types(x.dtype, jnp.float32),
    ).astype(x.dtype)
    key = LinearNormRelu(self.channels, self.dtype, name='key')(clusters, train)
    value = LinearNormRelu(self.channels, self.dtype, name='value')(
      clusters, train
    )
    outputs = attention.attention(
      query.reshape(x.shape[0], -1, 1, self.channels),
      key[:, :, None],
      value[:, :, None],
      scale=1.0,
    ).reshape(query.shape)
    logits = PixelOutputs(self.num_outputs, self.dropout_rate, name='outputs')(
      conv('out')(outputs, train), train
    )
    return Outputs(logits, cluster_logits.astype(logits.dtype))


class UperHead(nn.Module):
  """A feature pyramid whose top sees averages over the whole image.

  Attributes:
    num_outputs: K.
    channels: D.
    dropout_rate: of the channels before the last layer.
    pool_sizes: sides of the grids to which the last map is averaged.
  """

  num_outputs: int
  channels: int = 512
  dropout_rate: float = 0.1
  pool_sizes: Sequence[int] = (1, 2, 3, 6)
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, maps: Sequence[jax.Array], train: bool) -> Outputs:
    """Maps the stages' maps [B, ., ., C] to `Outputs`."""

    def conv(kernel_size, name, x):
      module = ConvNormRelu(self.channels, kernel_size, self.dtype, name=name)
      return module(x, train)

    last = maps[-1]
    pooled = [
      conv(1, f'pool_{i}', resize.adaptive_average_pool(last, (size, size)))
      for i, size in enumerate(self.pool_sizes)
    ]
    levels = [conv(1, f'lateral_{i}', x) for i, x in enumerate(maps[:-1])]
    levels.append(
      conv(3, 'top', _concatenate([last, *pooled], last.shape[1:3]))
    )
    for i in reversed(range(1, len(levels))):
      levels[i - 1] += resize.resize_bilinear(
        levels[i], levels[i - 1].shape[1:3]
      )
    levels[:-1] = [
      conv(3, f'pyramid_{i}', x) for i, x in enumerate(levels[:-1])
    ]
    x = conv(3, 'fuse', _concatenate(levels, maps[0].shape[1:3]))
    return Outputs(
      PixelOutputs(self.num_outputs, self.dropout_rate, name='outputs')(
        x, train
      )
    )


class FcnHead(nn.Module):
  """A 3x3 convolution on one stage's map (Long et al. 2015), no more.

  Attributes:
    num_outputs: K.
    channels: D.
    dropout_rate: of the channels before the last layer.
    stage: whose map is read, counted from 1.
  """

  num_outputs: int
  channels: int = 256
  dropout_rate: float = 0.1
  stage: int = 3
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, maps: Sequence[jax.Array], train: bool) -> jax.Array:
    """Maps the stages' maps to [B, ., ., K] of the stage's size."""
    x = ConvNormRelu(self.channels, 3, self.dtype, name='conv')(
      maps[self.stage - 1], train
    )
    return PixelOutputs(self.num_outputs, self.dropout_rate, name='outputs')(
      x, train
    )


class PacaSegmenter(nn.Module):
  """The backbone and a head for all of its maps.

  Attributes:
    backbone: of the stages.
    decode_head: `PacaHead` or `UperHead`.
    auxiliary_head: computed in training only; None: none.
  """

  backbone: backbone.PacaBackbone
  decode_head: PacaHead | UperHead
  auxiliary_head: FcnHead | None = None

  def __call__(
    self, images: jax.Array, train: bool, return_features: bool = False
  ) -> Outputs | tuple[Outputs, backbone.Features]:
    """Maps images [B, H, W, C] of any size to `Outputs`.

    Training draws from the rngs 'drop_path' and 'dropout' and updates the
    collection 'batch_stats'. `return_features` adds the backbone's.
    """
    features = self.backbone(images, train)
    outputs = self.decode_head(features.maps, train)
    if self.auxiliary_head is not None and (train or self.is_initializing()):
      outputs = outputs.replace(
        auxiliary_logits=self.auxiliary_head(features.maps, train)
      )
    return (outputs, features) if return_features else outputs


def make_segmenter(config: Mapping[str, Any]) -> PacaSegmenter:
  """Builds the segmenter of sizes as in `variants`.

  Args:
    config: that of `backbone.make_backbone`; num_classes, K; `decode_head`:
      kind ('PacaHead' or 'UperHead') and the fields of that class;
      `auxiliary_head`: the fields of `FcnHead`, or None.

  Raises:
    ValueError: naming the field that does not fit.
  """
  dtype = jnp.dtype(config['dtype'])
  heads = {'PacaHead': PacaHead, 'UperHead': UperHead}
  options = dict(config['decode_head'])
  kind = options.pop('kind')
  if kind not in heads:
    raise ValueError(
      f'config.model.decode_head.kind: expected one of {[*heads]}, found '
      f'{kind!r}.'
    )
  auxiliary_head = None
  if config['auxiliary_head'] is not None:
    auxiliary_head = FcnHead(
      config['num_classes'], dtype=dtype, **config['auxiliary_head']
    )
  return PacaSegmenter(
    backbone.make_backbone(config),
    heads[kind](config['num_classes'], dtype=dtype, **options),
    auxiliary_head,
  )


def _concatenate(maps, size):
  """Resizes maps [B, ., ., C] and joins their channels."""
  return jnp.concatenate(
    [
      x if x.shape[1:3] == size else resize.resize_bilinear(x, size)
      for x in maps
    ],
    axis=-1,
  )


def _torch_linear(features, x, dtype, name):
  """A linear layer that starts as PyTorch's do, which these heads leave be."""
  bound = x.shape[-1] ** -0.5

  def init(rng, shape, dtype=jnp.float32):
    return jax.random.uniform(rng, shape, dtype, -bound, bound)

  return nn.Dense(
    features, kernel_init=init, bias_init=init, dtype=dtype, name=name
  )(x)
