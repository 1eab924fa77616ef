"""What is compared: rows, and the sides of each."""

import functools
import io
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.peers import ours, torch_side

OURS = 'ours'
_NUM_FILES = 24


class Row(NamedTuple):
  """Attributes:
  title: for the table.
  sides: name -> what makes a function that does one pass; ours first.
  """

  title: str
  sides: dict[str, Callable[[], ours.Pass]]


def _perceiver(title, path, peer, batch_size, mode) -> Row:
  theirs = functools.partial(torch_side.perceiver, peer, batch_size, mode)
  return Row(
    f'{title}, {_WORK[mode]}, batch {batch_size}',
    {
      OURS: functools.partial(ours.model, path, batch_size, mode),
      'transformers, eager': functools.partial(theirs, compiled=False),
      'transformers, torch.compile': functools.partial(theirs, compiled=True),
    },
  )


def _paca(size, mode) -> Row:
  variant, batch_size = f'{size}_p2cconv_100_0', 8
  mine = functools.partial(
    ours.model, f'paca_vit.imagenet:{variant}', batch_size, mode
  )
  given_back = functools.partial(mine, keep_freed=False)
  sides = {OURS: mine}
  if mode == 'predict':
    sides['all images at once, ours'] = functools.partial(mine, at_once=True)
  sides['freed memory given back, ours'] = given_back
  for layout in ('first', 'last'):
    for compiled in (False, True):
      name = f'channels {layout}, {"torch.compile" if compiled else "eager"}'
      sides[name] = side = functools.partial(
        torch_side.paca, variant, batch_size, mode, layout == 'last', compiled
      )
  sides[f'{name}, freed memory kept'] = functools.partial(side, keep_freed=True)
  title = f'PaCa-{size.title()}, {_WORK[mode]}, batch {batch_size}'
  return Row(title, sides)


def photographs() -> list[bytes]:
  """JPEGs of scikit-image's photographs, as large as ImageNet's mostly are."""
  import PIL.Image
  from skimage import data

  files = []
  for photograph in (data.astronaut, data.coffee, data.chelsea, data.rocket):
    image = PIL.Image.fromarray(photograph())
    scale = 500 / max(image.size)
    image = image.resize([round(side * scale) for side in image.size])
    file = io.BytesIO()
    image.save(file, 'JPEG', quality=90)
    files.append(file.getvalue())
  return files * (_NUM_FILES // len(files))


def _pipeline(title, recipe) -> Row:
  def side(make):
    return make(photographs(), recipe)

  return Row(
    f'Input pipeline, {_NUM_FILES} photographs, {title}',
    {
      OURS: functools.partial(side, ours.pipeline),
      "timm's steps on Pillow": functools.partial(side, torch_side.pipeline),
    },
  )


def _start_up() -> Row:
  mine = functools.partial(ours.start_up, _LANGUAGE[1])
  return Row(
    'Start-up to the first step, language model',
    {
      OURS: functools.partial(mine, is_initialised=True),
      'up to the initialisation, ours': functools.partial(
        mine, is_initialised=False
      ),
      'transformers': torch_side.start_up,
    },
  )


_WORK = dict(
  predict='forward',
  loss='loss without gradients',
  train='training step',
)
_LANGUAGE = (
  'Language model, 2,048 bytes',
  'perceiver_io.masked_language_modelling:base_bytes',
  'PerceiverForMaskedLM',
)
_FOURIER = (
  'Perceiver on ImageNet, Fourier features',
  'perceiver_io.imagenet:fourier',
  'PerceiverForImageClassificationFourier',
)
_FLOW = (
  'Optical flow, a tile of 368 x 496',
  'perceiver_io.optical_flow:patch3',
  'PerceiverForOpticalFlow',
)
ROWS = {
  'language_forward_1': _perceiver(*_LANGUAGE, 1, 'predict'),
  'language_forward_8': _perceiver(*_LANGUAGE, 8, 'predict'),
  'language_step_1': _perceiver(*_LANGUAGE, 1, 'train'),
  'language_step_8': _perceiver(*_LANGUAGE, 8, 'train'),
  'language_loss_1': _perceiver(*_LANGUAGE, 1, 'loss'),
  'fourier_forward_1': _perceiver(*_FOURIER, 1, 'predict'),
  'flow_forward_1': _perceiver(*_FLOW, 1, 'predict'),
  **{
    f'paca_{size}_{short}': _paca(size, mode)
    for size in ('tiny', 'small')
    for short, mode in (('forward', 'predict'), ('step', 'train'))
  },
  'input_crop': _pipeline('crop and flip', 'crop'),
  'input_paca': _pipeline("PaCa's RandAugment", 'paca'),
  'input_perceiver': _pipeline("the Perceiver's RandAugment", 'perceiver'),
  'input_paca_host': _pipeline(
    "PaCa's, RandAugment on the device", 'paca_host'
  ),
  'input_perceiver_host': _pipeline(
    "the Perceiver's, RandAugment on the device", 'perceiver_host'
  ),
  'input_crop_device': _pipeline(
    'crop and flip, resized on the device', 'crop_device'
  ),
  'input_paca_device': _pipeline(
    "PaCa's, resized and RandAugment on the device", 'paca_device'
  ),
  'start_up': _start_up(),
}
