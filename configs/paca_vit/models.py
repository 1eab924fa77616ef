"""The sizes of PaCa-ViT: the 13 published classifiers and a small one.

Published figures are from the authors' README, ImageNet-1k at 224 x 224:
parameters, multiply-adds (its "FLOPs"), top-1 accuracy.
"""

import ml_collections
from ml_collections import config_dict

_CONV = dict(kind='ConvClustering', kernel_size=7)
_MLP = dict(kind='MlpClustering', mlp_ratio=4.0)
_TEACHER = dict(kind='ClusteringTeacher', depths=(2, 2, 2, 2), kernel_size=7)
_BASE_TEACHER = dict(
  kind='ClusteringTeacher', depths=(2, 2, 4, 2), kernel_size=7
)

# name: (channels and depths of the stages, drop path rate, clustering,
# clusters of the stages; 0: all patches attend to all)
_NARROW, _WIDE = (96, 192, 320, 384), (96, 192, 384, 512)
_TINY = (_NARROW, (2, 2, 4, 2), 0.1)
_SMALL = (_NARROW, (3, 3, 10, 3), 0.1)
VARIANTS = {
  # 12.2M, 3.2G, 80.9
  'tiny_p2cconv_100_0': (*_TINY, _CONV, (100, 100, 100, 0)),
  # 22.0M, 5.5G, 83.08
  'small_p2cconv_100_0': (*_SMALL, _CONV, (100, 100, 100, 0)),
  # 46.9M, 9.5G, 83.96; trained with gradients clipped to norm 1
  'base_p2cconv_100_0': (
    *(_WIDE, (3, 3, 18, 3), 0.5, _CONV),
    (100, 100, 100, 0),
  ),
  # 22.6M, 5.9G, 83.13
  'small_p2cmlp_100_0': (*_SMALL, _MLP, (100, 100, 100, 0)),
  # 22.0M, 4.7G, 82.28
  'small_p2cconv_2_0': (*_SMALL, _CONV, (2, 2, 2, 0)),
  # 22.0M, 5.0G, 82.95
  'small_p2cconv_49_0': (*_SMALL, _CONV, (49, 49, 49, 0)),
  # 22.2M, 5.3G, 82.98
  'small_p2cconv_49_100': (*_SMALL, _CONV, (49, 64, 81, 100)),
  # 22.2M, 5.3G, 82.87
  'small_p2cconv_100_49': (*_SMALL, _CONV, (100, 81, 64, 49)),
  # 22.3M, 5.6G, 83.05
  'small_p2cconv_100': (*_SMALL, _CONV, (100, 100, 100, 100)),
  # 24.1M, 6.1G, 82.93
  'small_p2cconv_100_blockwise': (*_SMALL, _CONV, (100, 100, 100, 100)),
  # no published figures
  'convmixer_tiny_100': (
    *(_NARROW, (2, 2, 2, 2), 0.1, _TEACHER),
    (100, 100, 100, 100),
  ),
  # 21.1M, 5.4G, 83.17
  'convmixer_small_100': (
    *(_NARROW, (3, 3, 7, 3), 0.1, _TEACHER),
    (100, 100, 100, 100),
  ),
  # 46.7M (the authors' code has 47.7M), 9.7G, 84.22
  'convmixer_base_100': (
    *(_WIDE, (3, 3, 16, 3), 0.1, _BASE_TEACHER),
    (100, 100, 100, 100),
  ),
}


# Those with a published Mask R-CNN.
MASK_RCNN_VARIANTS = tuple(v for v in VARIANTS if v != 'convmixer_tiny_100')


def model(variant: str) -> ml_collections.ConfigDict:
  """The model section of a published variant, or of 'demo'.

  Raises:
    ValueError: if there is no such variant.
  """
  if variant == 'demo':
    return demo()
  if variant not in VARIANTS:
    raise ValueError(
      f'variant: expected one of {[*VARIANTS, "demo"]}, found {variant!r}.'
    )
  channels, depths, drop_path_rate, clustering, clusters = VARIANTS[variant]
  config = config_dict.create(
    channels=channels,
    depths=depths,
    num_heads=(2, 4, 8, 16),
    clustering=clustering,
    num_clusters=clusters,
    # Blocks that share an assignment; None: all blocks of the stage.
    blocks_per_assignment=config_dict.placeholder(int),
    block=dict(mlp_ratio=4.0),
    drop_path_rate=drop_path_rate,
    # (H, W) of position embeddings at the first stage; None: none.
    position_grid=config_dict.placeholder(tuple),
    scan_layers=False,  # True compiles several times faster
    in_channels=3,
    num_classes=1000,
    dtype='float32',  # computation; parameters are always float32
  )
  if variant == 'small_p2cconv_100_blockwise':
    config.blocks_per_assignment = 1
  return config


def paca_segmenter(variant: str, num_classes: int) -> ml_collections.ConfigDict:
  """The model section of a variant with the authors' head: 200 clusters."""
  config = _dense(variant, num_classes)
  if variant == 'convmixer_base_100':
    config.drop_path_rate = 0.5
  config.decode_head = dict(
    kind='PacaHead', num_clusters=num_classes, channels=256, dropout_rate=0.1
  )
  config.auxiliary_head = config_dict.placeholder(ml_collections.ConfigDict)
  return config


def uper_segmenter(variant: str, num_classes: int) -> ml_collections.ConfigDict:
  """The model section of a variant with UPerNet and an auxiliary FCN head."""
  config = _dense(variant, num_classes)
  config.drop_path_rate = 0.1
  config.decode_head = dict(kind='UperHead', channels=512, dropout_rate=0.1)
  config.auxiliary_head = dict(channels=256, dropout_rate=0.1)
  return config


def mask_rcnn(variant: str, num_classes: int) -> ml_collections.ConfigDict:
  """The model section of a variant with a Mask R-CNN's pyramid and heads."""
  config = model(variant)
  config.drop_path_rate = 0.1
  config.num_classes = num_classes
  config.pyramid_channels = 256
  config.box_channels = 1024
  config.detector = dict()  # other fields of paca_vit.detection's MaskRcnn
  return config


def demo_detector(num_classes: int) -> ml_collections.ConfigDict:
  """Four narrow stages and a small Mask R-CNN, for images of 160 pixels."""
  config = mask_rcnn('tiny_p2cconv_100_0', num_classes)
  config.channels, config.depths = (32, 48, 64, 96), (1, 1, 2, 1)
  config.num_heads = (1, 2, 4, 4)
  config.num_clusters = (32, 32, 16, 0)
  config.drop_path_rate = 0.0
  config.pyramid_channels, config.box_channels = 48, 192
  config.detector = dict(
    anchor_scale=6.0,
    candidates=(200, 200),
    num_proposals=100,
    num_rois=64,
    max_detections=20,
  )
  return config


def _dense(variant, num_classes):
  config = model(variant)
  config.num_clusters = tuple(200 if m else 0 for m in config.num_clusters)
  config.num_classes = num_classes
  return config


def demo() -> ml_collections.ConfigDict:
  """Two stages, 7 x 7 and 4 x 4 patches, for 28 x 28 grey digits."""
  return config_dict.create(
    channels=(32, 64),
    depths=(2, 2),
    num_heads=(2, 4),
    clustering=_CONV,
    num_clusters=(16, 8),
    blocks_per_assignment=config_dict.placeholder(int),
    block=dict(mlp_ratio=4.0),
    drop_path_rate=0.0,
    position_grid=config_dict.placeholder(tuple),
    scan_layers=False,
    in_channels=1,
    num_classes=10,
    dtype='float32',
  )


def demo_segmenter(num_classes: int) -> ml_collections.ConfigDict:
  """Two stages and the authors' head, small, for grey images."""
  config = demo()
  config.num_classes = num_classes
  config.num_clusters = (16, 16)
  config.decode_head = dict(
    kind='PacaHead', num_clusters=num_classes, channels=48, dropout_rate=0.1
  )
  config.auxiliary_head = config_dict.placeholder(ml_collections.ConfigDict)
  return config
