"""The sizes of the published PaCa-ViTs, as plain data.

Published figures are from the authors' README (github.com/iVMCL/PaCaViT),
ImageNet-1k at 224 x 224: parameters, multiply-adds (its "FLOPs"), top-1
accuracy.
"""

CONV = dict(kind='ConvClustering', kernel_size=7)
_MLP = dict(kind='MlpClustering', mlp_ratio=4.0)
_TEACHER = dict(kind='ClusteringTeacher', depths=(2, 2, 2, 2), kernel_size=7)
_BASE_TEACHER = dict(
  kind='ClusteringTeacher', depths=(2, 2, 4, 2), kernel_size=7
)


def _sizes(channels, depths, drop_path_rate, clustering, num_clusters):
  """Of `classifier.make_classifier`; 0 clusters: all patches attend to all."""
  return dict(
    channels=channels,
    depths=depths,
    num_heads=(2, 4, 8, 16),
    clustering=clustering,
    num_clusters=num_clusters,
    # Blocks that share an assignment; None: all blocks of the stage.
    blocks_per_assignment=None,
    block=dict(mlp_ratio=4.0),
    drop_path_rate=drop_path_rate,
    # (H, W) of position embeddings at the first stage; None: none.
    position_grid=None,
    in_channels=3,
    num_classes=1000,
  )


_NARROW, _WIDE = (96, 192, 320, 384), (96, 192, 384, 512)
_TINY = (_NARROW, (2, 2, 4, 2), 0.1)
_SMALL = (_NARROW, (3, 3, 10, 3), 0.1)
CLASSIFIERS = {
  # 12.2M, 3.2G, 80.9
  'tiny_p2cconv_100_0': _sizes(*_TINY, CONV, (100, 100, 100, 0)),
  # 22.0M, 5.5G, 83.08
  'small_p2cconv_100_0': _sizes(*_SMALL, CONV, (100, 100, 100, 0)),
  # 46.9M, 9.5G, 83.96; trained with gradients clipped to norm 1
  'base_p2cconv_100_0': _sizes(
    _WIDE, (3, 3, 18, 3), 0.5, CONV, (100, 100, 100, 0)
  ),
  # 22.6M, 5.9G, 83.13
  'small_p2cmlp_100_0': _sizes(*_SMALL, _MLP, (100, 100, 100, 0)),
  # 22.0M, 4.7G, 82.28
  'small_p2cconv_2_0': _sizes(*_SMALL, CONV, (2, 2, 2, 0)),
  # 22.0M, 5.0G, 82.95
  'small_p2cconv_49_0': _sizes(*_SMALL, CONV, (49, 49, 49, 0)),
  # 22.2M, 5.3G, 82.98
  'small_p2cconv_49_100': _sizes(*_SMALL, CONV, (49, 64, 81, 100)),
  # 22.2M, 5.3G, 82.87
  'small_p2cconv_100_49': _sizes(*_SMALL, CONV, (100, 81, 64, 49)),
  # 22.3M, 5.6G, 83.05
  'small_p2cconv_100': _sizes(*_SMALL, CONV, (100, 100, 100, 100)),
  # 24.1M, 6.1G, 82.93
  'small_p2cconv_100_blockwise': _sizes(*_SMALL, CONV, (100, 100, 100, 100))
  | dict(blocks_per_assignment=1),
  # no published figures
  'convmixer_tiny_100': _sizes(
    _NARROW, (2, 2, 2, 2), 0.1, _TEACHER, (100, 100, 100, 100)
  ),
  # 21.1M, 5.4G, 83.17
  'convmixer_small_100': _sizes(
    _NARROW, (3, 3, 7, 3), 0.1, _TEACHER, (100, 100, 100, 100)
  ),
  # 46.7M (the authors' code has 47.7M), 9.7G, 84.22
  'convmixer_base_100': _sizes(
    _WIDE, (3, 3, 16, 3), 0.1, _BASE_TEACHER, (100, 100, 100, 100)
  ),
}


def _segmenter(sizes, num_classes=150):
  """A classifier's stages with 200 clusters, for dense prediction."""
  clusters = tuple(200 if m else 0 for m in sizes['num_clusters'])
  return sizes | dict(num_clusters=clusters, num_classes=num_classes)


def paca_segmenter(variant: str, num_classes: int) -> dict:
  """Of `segmentation.make_segmenter`: a classifier with the authors' head."""
  sizes = _segmenter(CLASSIFIERS[variant], num_classes)
  if variant == 'convmixer_base_100':
    sizes['drop_path_rate'] = 0.5
  return sizes | dict(
    decode_head=dict(
      kind='PacaHead', num_clusters=num_classes, channels=256, dropout_rate=0.1
    ),
    auxiliary_head=None,
  )


def uper_segmenter(variant: str, num_classes: int) -> dict:
  """The same with UPerNet and an auxiliary FCN head."""
  return _segmenter(CLASSIFIERS[variant], num_classes) | dict(
    drop_path_rate=0.1,
    decode_head=dict(kind='UperHead', channels=512, dropout_rate=0.1),
    auxiliary_head=dict(channels=256, dropout_rate=0.1),
  )


def mask_rcnn(variant: str, num_classes: int) -> dict:
  """Of `detection.mask_rcnn.make_detector`: a classifier's stages, clusters
  included, with a Mask R-CNN's pyramid and heads."""
  return CLASSIFIERS[variant] | dict(
    drop_path_rate=0.1,
    num_classes=num_classes,
    pyramid_channels=256,
    box_channels=1024,
  )


# On ADE20K.
SEGMENTERS = {
  **{name: paca_segmenter(name, 150) for name in CLASSIFIERS},
  **{
    f'upernet_{name}': uper_segmenter(name, 150)
    for name in ('tiny_p2cconv_100_0', 'small_p2cconv_100_0')
    + ('base_p2cconv_100_0',)
  },
}

# On COCO.
DETECTORS = {
  name: mask_rcnn(name, 80)
  for name in CLASSIFIERS
  if name != 'convmixer_tiny_100'
}

# All that `paca_vit.load` makes: '<kind>:<name>'; a name alone is a classifier.
VARIANTS = {
  f'{kind}:{name}': sizes
  for kind, models in (
    ('imagenet', CLASSIFIERS),
    ('ade20k', SEGMENTERS),
    ('coco', DETECTORS),
  )
  for name, sizes in models.items()
}


def full_name(variant: str) -> str:
  """A key of VARIANTS; 'tiny_p2cconv_100_0' is 'imagenet:tiny_p2cconv_100_0'.

  Raises:
    ValueError: if there is no such variant.
  """
  for name in (variant, f'imagenet:{variant}'):
    if name in VARIANTS:
      return name
  raise ValueError(
    f'variant: found {variant!r}; expected one of {sorted(VARIANTS)}.'
  )
