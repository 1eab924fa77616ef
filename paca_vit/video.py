"""PaCa-ViT on video: frames are more patches.

A clip's T x H x W patches share their clusters, so that its cost is linear in
its length. Consecutive frames enter together as one tubelet (Arnab et al. 2021,
"ViViT", arXiv 2103.15691, section 3.2), in which the stem's convolutions see
motion; order beyond that only the position embeddings tell.

Shapes: B batch, F frames, T = F / t tubelets, H height, W width, C channels.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

from paca_vit import backbone, classifier


def tubelets(video: jax.Array, num_frames: int) -> jax.Array:
  """Joins the channels of t consecutive frames.

  Args:
    video: [B, F, H, W, C].
    num_frames: t.

  Returns:
    [B, F / t, H, W, t C], the first frame's channels first.

  Raises:
    ValueError: the video has no such number of frames.
  """
  if video.ndim != 5 or video.shape[1] % num_frames:
    raise ValueError(
      f'video: expected [B, F, H, W, C] with F a multiple of {num_frames}, '
      f'found {video.shape}.'
    )
  batch, frames, height, width, channels = video.shape
  x = video.reshape(batch, -1, num_frames, height, width, channels)
  x = x.transpose(0, 1, 3, 4, 2, 5)
  return x.reshape(batch, frames // num_frames, height, width, -1)


class PacaVideo(nn.Module):
  """The classifier of images, on tubelets.

  Attributes:
    classifier: whose in_channels are a tubelet's and whose position_grid has
      T, H and W.
    tubelet_frames: t.
  """

  classifier: classifier.PacaViT
  tubelet_frames: int

  @property
  def num_classes(self) -> int:
    return self.classifier.num_classes

  def __call__(
    self, video: jax.Array, train: bool, return_features: bool = False
  ) -> jax.Array | tuple[jax.Array, backbone.Features]:
    """Maps video [B, F, H, W, C] to what the classifier returns."""
    x = tubelets(video, self.tubelet_frames)
    return self.classifier(x, train, return_features)


def make_video_classifier(config: Mapping[str, Any]) -> PacaVideo:
  """Builds it of a classifier's model section with `tubelet_frames`."""
  return PacaVideo(classifier.make_classifier(config), config['tubelet_frames'])
