"""Claims whose data or weights are not here, and what would be needed."""

from collections.abc import Callable

from tools.claims.claim import UNKNOWN, Claim, Found, Judgement
from tools.claims.figures import published


def _needs(what: str) -> Callable[[Found], Judgement]:
  return lambda found: Judgement(UNKNOWN, what)


def _claim(name, text, source, figures, needed) -> Claim:
  shown = ', '.join(
    f'{row} {published(table, row, column)}' for table, row, column in figures
  )
  return Claim(name, text, source, shown, (), _needs(needed))


_IMAGENET = 'needs ImageNet and 110 epochs on 64 TPUs, or published weights'

ROWS = (
  _claim(
    'imagenet',
    'Without convolutions or patches, Perceiver IO classifies ImageNet as '
    'ResNet-50 does.',
    'Perceiver IO, table 7',
    (
      ('io-7', 'ResNet-50', 'Top-1'),
      ('io-7', 'Perceiver IO A, Fourier', 'Top-1'),
    ),
    _IMAGENET,
  ),
  _claim(
    'jft',
    'Pretrained on JFT it improves by 5.5.',
    'Perceiver IO, table 7',
    (
      ('io-7', 'Perceiver IO A, Fourier', 'Top-1'),
      ('io-7', 'Perceiver IO B, Fourier (JFT)', 'Top-1'),
    ),
    'JFT is not public, nor are weights trained on it',
  ),
  _claim(
    'glue',
    'On GLUE, Perceiver IO on bytes equals BERT Base on tokens.',
    'Perceiver IO, table 1',
    (
      ('io-1', 'BERT Base (ours)', 'Average'),
      ('io-1', 'Perceiver IO, bytes', 'Average'),
    ),
    'needs C4, 500,000 steps and GLUE, or published weights',
  ),
  _claim(
    'multitask',
    'A query for each task is better than a model for each.',
    'Perceiver IO, table 2',
    (
      ('io-2', 'single-task query', 'Average'),
      ('io-2', 'multitask query', 'Average'),
    ),
    'needs published weights and GLUE',
  ),
  _claim(
    'flow',
    'Perceiver IO estimates flow better than RAFT on Sintel, worse on KITTI.',
    'Perceiver IO, table 3',
    (
      ('io-3', 'RAFT', 'Sintel final'),
      ('io-3', 'Perceiver IO', 'Sintel final'),
      ('io-3', 'RAFT', 'KITTI'),
      ('io-3', 'Perceiver IO', 'KITTI'),
    ),
    'needs AutoFlow, Sintel and KITTI, or published weights',
  ),
  _claim(
    'audioset',
    'Perceiver IO tags sound and video better than the Perceiver of 2021.',
    'Perceiver IO, table 10',
    (
      ('io-10', 'Perceiver, raw audio + video', 'mAP'),
      ('io-10', 'Perceiver IO, raw audio + video', 'mAP'),
    ),
    'needs AudioSet',
  ),
  _claim(
    'starcraft',
    'With its cheaper encoder AlphaStar wins as often.',
    'Perceiver IO, table 9',
    (
      ('io-9', 'Transformer', 'Win rate'),
      ('io-9', 'Perceiver IO, 32 latents', 'Win rate'),
    ),
    'AlphaStar is not public; the row on chess moves is as near as one comes',
  ),
  _claim(
    'modelnet',
    'On point clouds a Perceiver beats ViTs, and is beaten by PointNet++.',
    'Perceiver, table 4',
    (
      ('p-4', 'PointNet++', 'Top-1'),
      ('p-4', 'Perceiver', 'Top-1'),
      ('p-4', 'ViT-B, patches of 2', 'Top-1'),
    ),
    'needs ModelNet40',
  ),
  _claim(
    'paca_imagenet',
    'PaCa-Small classifies ImageNet better than PVTv2-B2 and Swin-T do.',
    "the PaCa-ViT authors' README",
    (
      ('paca-imagenet', 'PaCa-Small, conv', 'Top-1'),
      ('paca-imagenet', 'PVTv2-B2', 'Top-1'),
      ('paca-imagenet', 'Swin-T', 'Top-1'),
    ),
    'needs ImageNet and 300 epochs on eight GPUs, or published weights',
  ),
  _claim(
    'paca_coco',
    'As a backbone of Mask R-CNN it is better than PVTv2-B2, too.',
    "the PaCa-ViT authors' README",
    (
      ('paca-coco', 'Small, conv', 'box AP'),
      ('paca-coco', 'PVTv2-B2', 'box AP'),
    ),
    'needs COCO and published weights',
  ),
  _claim(
    'paca_ade',
    'The PaCa head segments better than UperNet.',
    "the PaCa-ViT authors' README",
    (
      ('paca-ade', 'PaCa head, Small, conv', 'mIoU'),
      ('paca-ade', 'UperNet, Small', 'mIoU'),
    ),
    'needs ADE20K and published weights',
  ),
  Claim(
    'modality_dropout',
    'Hiding the video in 30 % of the training clips is worth more than 3 mAP.',
    'Perceiver, beside table 3',
    '39.9 and 43.2 with mel spectrograms, 39.7 and 43.5 with raw audio',
    (),
    _needs(
      'needs AudioSet; in clips of which each label is told by picture or '
      'sound alone, hiding costs 3.6 mAP on one seed (docs/results.md)'
    ),
  ),
)
