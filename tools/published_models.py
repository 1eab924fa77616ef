"""The published models at full size, by name; none is made or run.

A name is that of a config and its variant: 'perceiver_io/imagenet:fourier' is
configs/perceiver_io/imagenet.py:fourier. Some models have a name before they
have a config.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from baselines import bert
from configs.baselines import bert as bert_config
from configs.baselines import entity_transformer
from configs.paca_vit import ade20k
from configs.paca_vit import models as paca_config
from configs.perceiver_io import (
  audioset,
  imagenet,
  masked_language_modelling,
  optical_flow,
  starcraft,
)
from paca_vit import classifier, segmentation
from paca_vit.detection import mask_rcnn
from perceiver_io import inputs, models, multimodal, outputs
from perceiver_io.perceiver import PooledPerceiver
from perceiver_io.position_encoding import FourierPositions
from perceiver_io.tasks import classification, tagging
from train_lib import task as task_lib

PyTree = Any
# Options under which every product of the published computation is done.
PLAIN = dict(implementation='plain', fold_projections=False)


class Published(NamedTuple):
  """Attributes:
  module: the model.
  args, kwargs: of its `init` and `apply`, shapes instead of arrays.
  """

  module: nn.Module
  args: tuple[PyTree, ...]
  kwargs: dict[str, Any] = {}

  def variables(self) -> PyTree:
    """Shapes of its variables."""
    init = functools.partial(self.module.init, **self.kwargs)
    return jax.eval_shape(init, jax.random.key(0), *self.args)


def _shape(*dims, dtype='float32'):
  return jax.ShapeDtypeStruct(dims, dtype)


def _language(variant, **options):
  sizes = masked_language_modelling.MODELS[variant]
  ids = _shape(1, sizes['max_length'], dtype='int32')
  return Published(models.masked_language_modelling(**sizes, **options), (ids,))


def _bert(variant, **options):
  del options  # Its attention has one form.
  sizes = bert_config.MODELS[variant]
  ids = _shape(1, sizes['max_length'], dtype='int32')
  return Published(bert.Bert(**sizes), (ids,))


def _image(variant, **options):
  config = imagenet.model(variant)
  config.encoder.update(options)
  module = classification.make_classifier(config)
  return Published(module, (_shape(1, 224, 224, 3),))


def _flow(num_latents, num_layers, **options):
  module = models.optical_flow(
    image_size=(368, 496),
    encoder=models.encoder(
      num_latents=num_latents,
      latent_channels=512,
      num_self_attends_per_block=num_layers,
      num_self_attend_heads=16,
      **options,
    ),
  )
  return Published(module, (_shape(1, 2, 368, 496, 3),))


def _flow_variant(variant, **options):
  config = optical_flow.get_config(variant)
  sizes = dict(config.model)
  encoder = models.encoder(**(dict(sizes.pop('encoder')) | options))
  module = task_lib.function_named(config.task.make_model)(
    encoder=encoder, **sizes
  )
  return Published(module, (_shape(1, 2, 368, 496, 3),))


def _autoencoder(num_latents, training=False, **options):
  """Decodes everything, or the 512 samples of each that training decodes."""
  module = models.multimodal(
    video_size=(16, 224, 224),
    num_audio_samples=30_720,
    num_classes=700,
    encoder=models.encoder(
      num_latents=num_latents,
      latent_channels=512,
      num_self_attends_per_block=8,
      **options,
    ),
  )
  x = {
    'image': _shape(1, 16, 224, 224, 3),
    'audio': _shape(1, 30_720, 1),
    'label': _shape(1, 700),
  }
  points = {'audio': np.arange(512 // 16), 'image': np.arange(512)}
  return Published(module, (x,), {'points': points} if training else {})


def _audioset(latent_channels, pooled=False, **options):
  """Raw audio and video; the paper leaves the audio's bands open."""
  encoder = models.encoder(
    num_latents=512,
    latent_channels=latent_channels,
    num_self_attends_per_block=12,
    **options,
  )
  both = multimodal.MultimodalInputs(
    {
      'audio': inputs.GridInputs(
        inputs.AudioPatches(128), FourierPositions(64)
      ),
      'image': inputs.GridInputs(
        inputs.Patches(8, temporal=2), FourierPositions(16)
      ),
    }
  )
  x = {'image': _shape(1, 32, 224, 224, 3), 'audio': _shape(1, 61_440, 1)}
  if pooled:
    module = PooledPerceiver(both, encoder, outputs.MeanLogits(527))
  else:
    module = models.classifier(
      inputs=both,
      encoder=encoder,
      num_classes=527,
      query_channels=1024,
      use_query_residual=True,
    )
  return Published(module, (x,))


def _mel(**options):
  """Spectrogram and video: 60 frames of 80 bands."""
  config = audioset.get_config('mel')
  config.model.encoder.update(options)
  x = {'image': _shape(1, 32, 224, 224, 3), 'audio': _shape(1, 60, 80)}
  return Published(tagging.make_task(config.task, config.model).model, (x,))


def _entities(module, **options):
  """The encoder alone of 512 entities."""
  config = module.get_config()
  encoder = dict(config.model.encoder)
  if 'fold_projections' in encoder:
    encoder['fold_projections'] = options.get('fold_projections', True)
  model = task_lib.function_named(config.task.make_encoder)(**encoder)
  return Published(model, (_shape(1, 512, 256), _shape(1, 512)))


def _paca(variant, **options):
  del options  # Its attention has one form.
  module = classifier.make_classifier(paca_config.model(variant))
  return Published(module, (_shape(1, 224, 224, 3),), {'train': False})


def _paca_segmenter(variant, **options):
  del options  # Its attention has one form.
  module = segmentation.make_segmenter(ade20k.get_config(variant).model)
  return Published(module, (_shape(1, 512, 512, 3),), {'train': False})


def _paca_detector(variant, **options):
  """On what the authors count: 1,280 x 800, portrait."""
  del options  # Its attention has one form.
  module = mask_rcnn.make_detector(paca_config.mask_rcnn(variant, 80))
  sizes = _shape(1, 2, dtype='int32')
  return Published(module, (_shape(1, 1280, 800, 3), sizes))


def _partials(make, config, variants):
  return {f'{config}:{v}': functools.partial(make, v) for v in variants}


_MODELS: dict[str, Callable[..., Published]] = {
  **_partials(
    _language,
    'perceiver_io/masked_language_modelling',
    masked_language_modelling.MODELS,
  ),
  **_partials(_image, 'perceiver_io/imagenet', imagenet.VARIANTS),
  'perceiver_io/optical_flow': functools.partial(_flow, 2048, 24),
  'perceiver_io/optical_flow:1024x16': functools.partial(_flow, 1024, 16),
  **_partials(
    _flow_variant,
    'perceiver_io/optical_flow',
    [
      'patch3_separate',
      'patch1',
      'patch1_separate',
      'conv',
      'conv_separate',
      'conv_light',
    ],
  ),
  'perceiver_io/kinetics': functools.partial(_autoencoder, 784),
  'perceiver_io/kinetics:training': functools.partial(
    _autoencoder, 784, training=True
  ),
  'perceiver_io/kinetics:392': functools.partial(_autoencoder, 392),
  'perceiver_io/kinetics:196': functools.partial(_autoencoder, 196),
  'perceiver_io/audioset:raw': functools.partial(_audioset, 512),
  'perceiver_io/audioset:original_raw': functools.partial(
    _audioset, 512, pooled=True
  ),
  'perceiver_io/audioset:mel': _mel,
  'perceiver_io/starcraft': functools.partial(_entities, starcraft),
  'baselines/entity_transformer': functools.partial(
    _entities, entity_transformer
  ),
  **_partials(_bert, 'baselines/bert', bert_config.MODELS),
  **_partials(_paca, 'paca_vit/imagenet', paca_config.VARIANTS),
  **_partials(
    _paca_segmenter,
    'paca_vit/ade20k',
    [f'upernet_{size}_p2cconv_100_0' for size in ('tiny', 'small', 'base')],
  ),
  **_partials(_paca_segmenter, 'paca_vit/ade20k', paca_config.VARIANTS),
  **_partials(_paca_detector, 'paca_vit/coco', paca_config.MASK_RCNN_VARIANTS),
}
NAMES = tuple(_MODELS)


def model(name: str, **options) -> Published:
  """The model of a name; options are those of `perceiver_io`'s attention."""
  return _MODELS[name](**options)


@functools.cache
def variables(name: str) -> PyTree:
  """Shapes of the variables of a model."""
  return model(name).variables()


def config_of(name: str) -> str:
  """What --config names the model, '' if it has no config."""
  path, _, variant = name.partition(':')
  try:
    module = importlib.import_module(f'configs.{path.replace("/", ".")}')
    module.get_config(*[variant] if variant else [])
  except (ModuleNotFoundError, ValueError):
    return ''
  return f'configs/{path}.py' + (f':{variant}' if variant else '')
