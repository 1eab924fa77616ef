"""Video classification with PaCa-ViT.

Batch keys: `image` [B, F, H, W, C] float32, normalised frames; `label` [B]
integer; `mask` [B].
"""

import ml_collections

from paca_vit import kmeans, video
from paca_vit.tasks import classification
from train_lib import labels

PREDICTIONS = 'data.video.predictions'


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> classification.Classification:
  """Reads label_smoothing; model: see `make_video_classifier`."""
  network = video.make_video_classifier(model)
  return classification.Classification(
    model=network,
    labels=labels.Classes(model.num_classes, config.label_smoothing),
    mixing=None,
    start=kmeans.make_start(model, network),
  )
