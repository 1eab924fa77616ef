"""PaCa-ViT on ADE20K, 150 classes: the authors' recipes, all 16 of them.

  python train.py --config=configs/paca_vit/ade20k.py:small_p2cconv_100_0 \
    --workdir=runs/ade20k --config.init_from.path=/path/to/imagenet/run

160,000 steps of 16 crops of 512 (the authors: 8 GPUs of 2). A variant is a name
of imagenet.py, for the PaCa head, or 'upernet_' and one of tiny, small or base
with p2cconv_100_0. docs/paper-tables.md has what was published. Here all
variants have 200 clusters, so those of one kind are one network and differ in
what they were trained with on ImageNet. Not trained here. The data part is
mmsegmentation's standard recipe, which the authors' file names but does not
contain. Deviations: losses are means over the global batch, not over that of a
GPU; bfloat16 or float32 instead of float16 with loss scaling; PIL's bilinear
resizing, which smooths; the rate would reach 0 one step after the last, where
theirs does at the last.
"""

import ml_collections

from configs import common
from configs.paca_vit import models

DATA = 'data.segmentation.ade20k'
_UPER = 'upernet_'
VARIANTS = (
  *models.VARIANTS,
  *(f'{_UPER}{size}_p2cconv_100_0' for size in ('tiny', 'small', 'base')),
)

# What `python -m tools.compile_check` compiles, and with which options.
TPU_TOPOLOGIES = {
  'small_p2cconv_100_0': ('v5e:4x4', {'model.scan_layers': True}),
  'upernet_small_p2cconv_100_0': ('v5e:4x4', {'model.scan_layers': True}),
}


def get_config(
  variant: str = 'tiny_p2cconv_100_0',
) -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = 160_000
  is_upernet = variant.startswith(_UPER)

  config.task = dict(
    module='paca_vit.tasks.segmentation',
    auxiliary_weight=0.4,
    mean_over_ignored=is_upernet,
  )
  if is_upernet:
    config.model = models.uper_segmenter(variant.removeprefix(_UPER), 150)
  else:
    config.model = models.paca_segmenter(variant, 150)

  config.data = common.data(
    DATA,
    split='train',
    batch_size=16,
    bounds=(2048, 512),
    crop_size=512,
    scale=(0.5, 2.0),
    max_share=0.75,
  )
  # The benchmark's validation images, whole, which TFDS calls test. Published
  # is a multiple of 1, which compiles for each of several hundred sizes; 32
  # rounds the sides and compiles for few.
  test = dict(split='test', preprocess=dict(size_multiple=1))
  config.evals = dict(
    validation=dict(
      module='paca_vit.evaluators.segmentation',
      every_steps=16_000,
      data=dict(test),
      # (512, 512) and (341, 341) is the usual sliding window.
      window=ml_collections.config_dict.placeholder(tuple),
      stride=ml_collections.config_dict.placeholder(tuple),
    )
  )

  if not is_upernet:  # which has no clusters for the labels to supervise
    config.evals.clusters = dict(
      module='paca_vit.evaluators.supervised_clusters',
      every_steps=common.part(config.get_ref('num_steps')),
      data=dict(test),
      num_images=8,
      class_names=(),  # numbers
    )

  config.optim = common.adamw(
    decay='polynomial',
    power=1.0,
    lr=6e-5,
    # The last of 1,500 steps of warm-up has the whole rate.
    warmup_steps=1_499,
    warmup_lr=6e-11,
    flat_steps=1,
  )
  config.optim.weight_decay = 0.01
  # As the authors' rule "norm", which misses the norms of teacher and heads.
  config.optim.decay_exclude = (r'^backbone/(?!teacher/).*norm',)
  if not is_upernet:
    # The authors' rule "clustering.4" finds the convolutional clustering alone.
    is_conv = config.model.clustering.kind == 'ConvClustering'
    clustering = ((r'^backbone/stage.*/clustering/to_clusters/', 10.0),)
    config.optim.lr_multipliers = (
      *(clustering if is_conv else ()),
      (r'head/', 10.0),
    )
  config.checkpoint = common.checkpoint(
    every_steps=16_000, best_metric='validation/mean_iou'
  )
  config.log_every_steps = 50
  config.update(common.parallel())
  # The clusters' layers have 200 outputs here; the heads are new.
  config.init_from = dict(
    path='', exclude=(r'to_clusters|clustering/fc2', r'head/')
  )
  return config
