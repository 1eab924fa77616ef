"""Video classification with PaCa-ViT.

Batch keys: `image` [B, F, H, W, C] float32, normalised frames; `label` [B]
integer; `mask` [B].
"""

import ml_collections

from paca_vit import kmeans, video
from paca_vit.tasks import classification


def make_task(
  config: ml_collections.ConfigDict,
) -> classification.Classification:
  """Reads config.model and config.label_smoothing."""
  model = video.make_video_classifier(config.model)
  return classification.Classification(
    model=model,
    label_smoothing=config.label_smoothing,
    mixing=None,
    start=kmeans.make_start(config.model, model),
  )
