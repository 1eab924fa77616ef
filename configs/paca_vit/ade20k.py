"""PaCa-ViT on ADE20K, 150 classes: the authors' recipes, all 16 of them.

  python train.py --config=configs/paca_vit/ade20k.py:small_p2cconv_100_0 \
    --workdir=runs/ade20k --config.init_from.path=/path/to/imagenet/run

160,000 steps of 16 crops of 512 (the authors: 8 GPUs of 2). A variant is a name
of models.py, for the PaCa head, or 'upernet_' and one of tiny, small or base
with p2cconv_100_0. Published, mIoU of whole images in one scale, beside
parameters and multiply-adds at 512:

                                      mIoU   params       G
  tiny_p2cconv_100_0                 45.65    13.3M    34.4
  small_p2cconv_100_0                48.3     23.2M    47.2
  base_p2cconv_100_0                 50.39    48.0M    68.5
  small_p2cmlp_100_0                 48.2     24.0M    50.0
  small_p2cconv_2_0                  47.7     23.2M    47.2
  small_p2cconv_49_0                 47.8     23.4M *  47.3 *
  small_p2cconv_49_100               48.1     23.2M *  47.2 *
  small_p2cconv_100_49               47.6     23.7M *  47.3
  small_p2cconv_100                  48.3     23.4M    47.3
  small_p2cconv_100_blockwise        48.0     25.8M    50.9
  convmixer_small_100                46.2     22.2M    46.4
  convmixer_base_100                 48.4     48.8M    68.7
  upernet_tiny_p2cconv_100_0         44.49    41.6M   229.9
  upernet_small_p2cconv_100_0        47.6     51.4M   242.7
  upernet_base_p2cconv_100_0         49.67    77.2M   264.1

* the authors' code has 23.16M and 47.2, 23.41M and 47.3, 23.41M: here all
variants have 200 clusters, so those of one kind are one network and differ in
what they were trained with on ImageNet. Not trained here. The data part is
mmsegmentation's standard recipe, which the authors' file names but does not
contain. Deviations: losses are means over the global batch, not over that of a
GPU; bfloat16 or float32 instead of float16 with loss scaling; PIL's bilinear
resizing, which smooths.
"""

import ml_collections

from configs import common
from configs.paca_vit import models

DATA = 'data.segmentation.ade20k'

# What `python -m tools.compile_check` compiles, and with which options.
TPU_TOPOLOGIES = {
  'small_p2cconv_100_0': ('v5e:4x4', {'model.scan_layers': True}),
  'upernet_small_p2cconv_100_0': ('v5e:4x4', {'model.scan_layers': True}),
}


def get_config(
  variant: str = 'tiny_p2cconv_100_0',
) -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = 160_000
  is_upernet = variant.startswith('upernet_')

  config.task = dict(
    module='paca_vit.tasks.segmentation',
    auxiliary_weight=0.4,
    mean_over_ignored=is_upernet,
  )
  if is_upernet:
    config.model = models.uper_segmenter(variant.removeprefix('upernet_'), 150)
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
  config.evals = dict(
    # The benchmark's validation images, whole. TFDS calls them test.
    validation=dict(
      module='paca_vit.evaluators.segmentation',
      every_steps=16_000,
      # 1 is exact, and compiles for each of several hundred sizes.
      data=common.examples(
        DATA, split='test', bounds=(2048, 512), size_multiple=32
      ),
      # (512, 512) and (341, 341) is the usual sliding window.
      window=ml_collections.config_dict.placeholder(tuple),
      stride=ml_collections.config_dict.placeholder(tuple),
    )
  )

  if not is_upernet:  # which has no clusters for the labels to supervise
    config.evals.clusters = dict(
      module='paca_vit.evaluators.supervised_clusters',
      every_steps=config.num_steps,
      data=common.examples(
        DATA, split='test', bounds=(2048, 512), size_multiple=32
      ),
      num_images=8,
      class_names=(),  # numbers
    )

  config.optim = common.adamw(
    decay='polynomial', power=1.0, lr=6e-5, warmup_steps=1_500, warmup_lr=6e-11
  )
  config.optim.weight_decay = 0.01
  # As the authors' rule "norm", which misses the norms of teacher and heads.
  config.optim.decay_exclude = (r'^backbone/(?!teacher/).*norm',)
  if not is_upernet:
    config.optim.lr_multipliers = (
      (r'^backbone/stage.*/clustering/to_clusters/', 10.0),
      (r'head/', 10.0),
    )
  config.checkpoint = common.checkpoint(
    every_steps=16_000, best_metric='validation/mean_iou'
  )
  config.log_every_steps = 50
  config.update(common.parallel())
  # The clusters' layers have 200 outputs here; the heads are new.
  config.init_from = dict(
    path='', exclude=(r'to_clusters', r'head/', r'clustering/fc2')
  )
  return config
