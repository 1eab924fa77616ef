"""PaCa-ViT in PyTorch, to measure ours against: nothing but its layers.

Written from a description of the model, with the names of the authors' state
dict; `tests/parity` holds it to their numbers. Convolutional clustering alone.

Shapes: B batch, H height, W width, N = H W, M clusters, C channels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


def _norm(channels: int) -> nn.LayerNorm:
  return nn.LayerNorm(channels, eps=1e-6)


def _as_map(tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
  """[B, N, C] as [B, C, H, W]: channels last in memory, nothing is copied."""
  return tokens.unflatten(1, grid).permute(0, 3, 1, 2)


def _as_tokens(x: torch.Tensor) -> torch.Tensor:
  """[B, C, H, W] to [B, N, C]; copied where channels come first in memory."""
  return x.flatten(2).transpose(1, 2)


class _Downsample(nn.Module):
  """Strided convolutions and a norm: [B, C, H, W] to tokens and their grid."""

  def __init__(self, channels: Sequence[int]):
    super().__init__()
    convs = [
      nn.Conv2d(a, b, 3, stride=2, padding=1)
      for a, b in zip(channels, channels[1:], strict=False)
    ]
    self.proj = convs[0] if len(convs) == 1 else nn.Sequential(*convs)
    self.norm = _norm(channels[-1])

  def forward(self, x):
    x = self.proj(x)
    return self.norm(_as_tokens(x)), x.shape[2:]


class _Clustering(nn.Module):
  def __init__(self, channels: int, num_clusters: int):
    super().__init__()
    self.clustering = nn.Sequential(
      nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
      nn.GELU(),
      nn.Conv2d(channels, channels, 1),
      nn.GELU(),
      nn.Conv2d(channels, num_clusters, 1, bias=False),
    )

  def forward(self, x):
    """[B, C, H, W] to the assignment [B, M, N]."""
    return self.clustering(x).flatten(2).softmax(-1)


class _Attention(nn.Module):
  def __init__(
    self, channels: int, num_heads: int, num_clusters: int, is_first: bool
  ):
    super().__init__()
    self.num_heads = num_heads
    self.q, self.k, self.v, self.proj = (
      nn.Linear(channels, channels) for _ in range(4)
    )
    if num_clusters:
      self.cluster_norm = _norm(channels)
      if is_first:
        self.clustering = _Clustering(channels, num_clusters)

  def forward(self, x, grid, assignment, channels_last):
    clusters = x
    if hasattr(self, 'clustering'):
      x_map = _as_map(x, grid)
      if not channels_last:
        x_map = x_map.contiguous()
      assignment = self.clustering(x_map)
    if assignment is not None:
      clusters = self.cluster_norm(assignment @ x)
    q, k, v = (
      project(tokens).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
      for project, tokens in (
        (self.q, x),
        (self.k, clusters),
        (self.v, clusters),
      )
    )
    out = F.scaled_dot_product_attention(q, k, v)
    return self.proj(out.transpose(1, 2).flatten(2)), assignment


class _Depthwise(nn.Module):
  def __init__(self, channels: int):
    super().__init__()
    self.dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)


class _Mlp(nn.Module):
  def __init__(self, channels: int):
    super().__init__()
    self.fc1 = nn.Linear(channels, 4 * channels)
    self.dwconv = _Depthwise(4 * channels)
    self.fc2 = nn.Linear(4 * channels, channels)

  def forward(self, x, grid, channels_last):
    x = _as_map(self.fc1(x), grid)
    if not channels_last:
      x = x.contiguous()
    x = F.gelu(x + self.dwconv.dwconv(x))
    return self.fc2(_as_tokens(x))


class _Block(nn.Module):
  def __init__(self, channels, num_heads, num_clusters, is_first, drop_rate):
    super().__init__()
    self.norm1_before, self.norm2_before = _norm(channels), _norm(channels)
    self.attn = _Attention(channels, num_heads, num_clusters, is_first)
    self.mlp = _Mlp(channels)
    self.drop_rate = drop_rate

  def forward(self, x, grid, assignment, channels_last):
    out, assignment = self.attn(
      self.norm1_before(x), grid, assignment, channels_last
    )
    x = x + self._dropped(out)
    out = self.mlp(self.norm2_before(x), grid, channels_last)
    return x + self._dropped(out), assignment

  def _dropped(self, branch):
    if not self.training or not self.drop_rate:
      return branch
    keep = 1 - self.drop_rate
    kept = branch.new_empty(branch.shape[0], 1, 1).bernoulli_(keep)
    return branch * (kept / keep)


class TorchPaca(nn.Module):
  """The classifier: [B, 3, H, W] to logits.

  Args:
    sizes: of `paca_vit.variants.CLASSIFIERS`, with convolutional clustering.
    channels_last: how feature maps lie in memory; the images' own layout is
      the caller's.
  """

  def __init__(self, sizes: dict, channels_last: bool):
    super().__init__()
    self.channels_last = channels_last
    channels, depths = sizes['channels'], sizes['depths']
    rates = torch.linspace(0, sizes['drop_path_rate'], sum(depths)).tolist()
    self.patch_embed = _Downsample((3, channels[0] // 2, channels[0]))
    self.num_stages = len(channels)
    for i, depth in enumerate(depths):
      if i > 0:
        transition = _Downsample(channels[i - 1 : i + 1])
        setattr(self, f'transition{i}', transition)
      options = channels[i], sizes['num_heads'][i], sizes['num_clusters'][i]
      blocks = [_Block(*options, j == 0, rates.pop(0)) for j in range(depth)]
      setattr(self, f'stage{i + 1}', nn.ModuleList(blocks))
      setattr(self, f'norm{i + 1}', _norm(channels[i]))
    self.head = nn.Linear(channels[-1], sizes['num_classes'])

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    x, grid = self.patch_embed(images)
    for i in range(1, self.num_stages + 1):
      if i > 1:
        x = _as_map(x, grid)
        if not self.channels_last:
          x = x.contiguous()
        x, grid = getattr(self, f'transition{i - 1}')(x)
      assignment = None
      for block in getattr(self, f'stage{i}'):
        x, assignment = block(x, grid, assignment, self.channels_last)
      x = getattr(self, f'norm{i}')(x)
    return self.head(x.mean(1))
