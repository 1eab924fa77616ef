"""PaCa-ViT on 5,000 real MNIST digits: 4,000 to train, 1,000 to test.

  python train.py --config=configs/paca_vit/mnist5k.py:demo \
    --workdir=runs/digits

docs/results.md has what it reaches. Variants: `demo`; `kmeans`, the same with
centroids as clusters, which k-means starts; `tiny` is for tests.
"""

import ml_collections

from configs import common
from configs.paca_vit import models

VARIANTS = 'demo', 'kmeans', 'tiny'
NUM_TRAIN = 4_000


def get_config(variant: str = 'demo') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.task = dict(
    module='paca_vit.tasks.classification',
    label_smoothing=0.1,
    mixing=common.off(**common.MIXING),
  )
  config.model = models.model('demo')

  config.data = common.data(
    'data.images.mnist5k',
    split='train',
    batch_size=128,
    degrees=10.0,
    translate=2.0,
    scale=(0.9, 1.1),
  )
  steps_per_epoch = common.num_batches(
    NUM_TRAIN, config.data.get_ref('batch_size')
  )
  config.num_steps = 40 * steps_per_epoch
  few = dict(
    image_folder='',
    num_images=6,
  )
  config.evals = dict(
    test=dict(
      module='train_lib.evaluate',
      every_steps=5 * steps_per_epoch,
      data=dict(split='test', batch_size=256),
    ),
    clusters=dict(
      module='paca_vit.evaluators.cluster_maps',
      every_steps=common.part(config.get_ref('num_steps')),
      data=dict(split='test'),
      **few,
    ),
    decisions=dict(
      module='paca_vit.evaluators.deciding_clusters',
      every_steps=common.part(config.get_ref('num_steps')),
      data=dict(split='test'),
      **few,
    ),
  )

  config.optim = common.adamw(
    lr=2e-3, end_lr=1e-5, warmup_steps=2 * steps_per_epoch
  )
  config.checkpoint = common.checkpoint(
    every_steps=5 * steps_per_epoch, best_metric='test/accuracy'
  )
  config.log_every_steps = 15
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
  return config
