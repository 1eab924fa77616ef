"""PaCa-ViT on 5,000 real MNIST digits: 4,000 to train, 1,000 to test.

  python train.py --config=configs/paca_vit/mnist5k.py:demo --workdir=runs/demo

A linear model reaches 0.89 on these digits (logistic regression).
Variants: `demo` is what `make demo` trains; `kmeans` is the same with centroids
as clusters, which k-means starts; `tiny` is for tests.
"""

import ml_collections

from configs import common
from configs.paca_vit import models

NUM_TRAIN = 4_000


def get_config(variant: str = 'demo') -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict()
  config.seed = 0
  batch_size = 128
  steps_per_epoch = NUM_TRAIN // batch_size
  config.num_steps = 40 * steps_per_epoch

  config.task = dict(
    module='paca_vit.tasks.classification',
    label_smoothing=0.1,
    mixing=ml_collections.config_dict.placeholder(ml_collections.ConfigDict),
  )
  config.model = models.model('demo')

  config.data = common.data(
    'data.images.mnist5k',
    split='train',
    batch_size=batch_size,
    degrees=10.0,
    translate=2.0,
    scale=(0.9, 1.1),
  )
  few = dict(
    data=common.examples('data.images.mnist5k', split='test'),
    image_folder='',
    num_images=6,
    every_steps=config.num_steps,
  )
  config.evals = dict(
    test=dict(
      module='train_lib.evaluate',
      every_steps=5 * steps_per_epoch,
      data=common.data('data.images.mnist5k', split='test', batch_size=256),
    ),
    clusters=dict(module='paca_vit.evaluators.cluster_maps', **few),
    decisions=dict(module='paca_vit.evaluators.deciding_clusters', **few),
  )

  config.optim = common.adamw(
    lr=2e-3, end_lr=1e-5, warmup_steps=2 * steps_per_epoch
  )
  config.checkpoint = common.checkpoint(
    every_steps=5 * steps_per_epoch, best_metric='test/accuracy'
  )
  config.log_every_steps = steps_per_epoch // 2
  config.update(common.parallel())
  config.init_from = common.from_scratch()

  if variant == 'tiny':
    config.model.channels, config.model.depths = (16, 32), (1, 1)
    config.num_steps = 12
    del config.evals.decisions  # takes longer to compile than to train
    config.optim.schedule.warmup_steps = 2
    config.checkpoint.every_steps = 3
    config.log_every_steps = 1
  elif variant == 'kmeans':
    config.model.clustering = dict(kind='CentroidClustering', kmeans_init=True)
  elif variant != 'demo':
    raise ValueError(
      f"variant: found {variant!r}; expected 'demo', 'kmeans' or 'tiny'."
    )
  return config
