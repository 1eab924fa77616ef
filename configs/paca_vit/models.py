"""Model sections of PaCa-ViT: of `variants`, and small ones."""

import ml_collections
from ml_collections import config_dict

from configs import common
from paca_vit import variants

VARIANTS = tuple(variants.CLASSIFIERS)
# Those with a published Mask R-CNN.
MASK_RCNN_VARIANTS = tuple(variants.DETECTORS)
# As beside a UPerNet.
_AUXILIARY_HEAD = dict(channels=256, dropout_rate=0.1)


def model(variant: str) -> ml_collections.ConfigDict:
  """The model section of a published variant, or of 'demo'.

  Raises:
    ValueError: if there is no such variant.
  """
  if variant == 'demo':
    return demo()
  return _section(variants.CLASSIFIERS[_known(variant)])


def paca_segmenter(variant: str, num_classes: int) -> ml_collections.ConfigDict:
  """The model section of a variant with the authors' head: 200 clusters."""
  return _segmenter(variants.paca_segmenter(_known(variant), num_classes))


def uper_segmenter(variant: str, num_classes: int) -> ml_collections.ConfigDict:
  """The model section of a variant with UPerNet and an auxiliary FCN head."""
  return _segmenter(variants.uper_segmenter(_known(variant), num_classes))


def _known(variant: str) -> str:
  if variant not in VARIANTS:
    raise ValueError(
      f'variant: expected one of {[*VARIANTS, "demo"]}, found {variant!r}.'
    )
  return variant


def _segmenter(sizes: dict) -> ml_collections.ConfigDict:
  config = _section(sizes)
  if config.auxiliary_head is None:
    config.auxiliary_head = common.off(**_AUXILIARY_HEAD)
  return config


def mask_rcnn(variant: str, num_classes: int) -> ml_collections.ConfigDict:
  """The model section of a variant with a Mask R-CNN's pyramid and heads."""
  config = _section(variants.mask_rcnn(_known(variant), num_classes))
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
    num_rois=32,
    max_detections=20,
  )
  return config


def _section(sizes: dict) -> ml_collections.ConfigDict:
  """Sizes as options, with those of a run."""
  config = config_dict.create(
    **sizes,
    scan_layers=False,  # True compiles several times faster
    dtype='float32',  # computation; parameters are always float32
  )
  if config.blocks_per_assignment is None:
    config.blocks_per_assignment = config_dict.placeholder(int)
  config.position_grid = config_dict.placeholder(tuple)
  return config


def demo() -> ml_collections.ConfigDict:
  """Two stages, 7 x 7 and 4 x 4 patches, for 28 x 28 grey digits."""
  return _section(
    dict(
      channels=(32, 64),
      depths=(2, 2),
      num_heads=(2, 4),
      clustering=variants.CONV,
      num_clusters=(16, 8),
      blocks_per_assignment=None,
      block=dict(mlp_ratio=4.0),
      drop_path_rate=0.0,
      position_grid=None,
      in_channels=1,
      num_classes=10,
    )
  )


def demo_segmenter(num_classes: int) -> ml_collections.ConfigDict:
  """Two stages and the authors' head, small, for grey images."""
  config = demo()
  config.num_classes = num_classes
  config.num_clusters = (16, 16)
  config.decode_head = dict(
    kind='PacaHead', num_clusters=num_classes, channels=48, dropout_rate=0.1
  )
  config.auxiliary_head = common.off(**_AUXILIARY_HEAD)
  return config
