"""The published models at full size, by name; none is made or run.

A name is that of a config and its variant: 'perceiver_io/imagenet:fourier' is
configs/perceiver_io/imagenet.py:fourier. Sizes are the families' `variants`,
for the baselines the configs'; some models have a name and no config.
"""

import functools
import importlib
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import ml_collections
import numpy as np

from configs.baselines import bert
from paca_vit import variants as paca_variants
from paca_vit.load import make as make_paca
from perceiver_io import variants as perceiver_variants
from perceiver_io.load import make as make_perceiver
from perceiver_io.perceiver import Encoder
from train_lib import task as task_lib

PyTree = Any
# Options under which every product of the published computation is done.
PLAIN = dict(implementation='plain', fold_projections=False)
# Configs of another name than the library's kind of models.
_CONFIGS = {'mlm': 'masked_language_modelling'}
_POINTS = 'perceiver_io/modelnet40'
_ENTITIES = ('perceiver_io/starcraft', 'baselines/entity_transformer')
# What training decodes of an example: 512 samples and as many pixels.
_TRAINING = 'perceiver_io/kinetics:training'


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

  def init_with_output(self, rng: jax.Array, *args: PyTree):
    """As the module's, without outputs that training alone has."""
    outputs, variables = self.module.init_with_output(rng, *args, **self.kwargs)
    if getattr(self.module, 'auxiliary_head', None):
      outputs = outputs.replace(auxiliary_logits=None)
    return outputs, variables

  def in_loops(self) -> 'Published':
    """The same with equal layers as a loop over one, which is traced faster.

    Of a Perceiver or a BERT; PaCa-ViT has few equal layers. The arrays are
    stacked, of the same elements.
    """
    module = self.module
    if hasattr(module, 'scan_layers'):
      return self._replace(module=module.clone(scan_layers=True))
    if hasattr(module, 'encoder'):
      encoder = module.encoder.clone(scan_layers=True)
      return self._replace(module=module.clone(encoder=encoder))
    return self


def _shape(*dims, dtype='float32'):
  return jax.ShapeDtypeStruct(dims, dtype)


def _names():
  """name -> the library's variant, '' where another package has the sizes."""
  found = {_TRAINING: 'kinetics', **dict.fromkeys((*_ENTITIES, _POINTS), '')}
  found |= {f'baselines/bert:{variant}': '' for variant in bert.MODELS}
  found |= {f'paca_vit/{name}': name for name in paca_variants.VARIANTS}
  for name in perceiver_variants.VARIANTS:
    kind, _, variant = name.partition(':')
    config = f'perceiver_io/{_CONFIGS.get(kind, kind)}'
    found.setdefault(config, name)  # a kind alone is its first
    found[f'{config}:{variant}'] = name
  return found


_VARIANTS = _names()
NAMES = tuple(_VARIANTS)


def model(name: str, **options) -> Published:
  """The model of a name; options are those of `perceiver_io`'s attention."""
  variant = _VARIANTS[name]
  if name in _ENTITIES:
    return _entities(name, **options)
  if name == _POINTS:
    return _points(**options)
  if name.startswith('baselines/bert:'):
    sizes = bert.MODELS[name.partition(':')[2]]
    ids = _shape(1, sizes['max_length'], dtype='int32')
    return Published(task_lib.function_named(bert.BERT)(**sizes), (ids,))
  if name.startswith('paca_vit/'):
    module = make_paca(variant)
    if variant.startswith('coco:'):  # what the authors count, portrait
      sizes = _shape(1, 2, dtype='int32')
      return Published(module, (_shape(1, 1280, 800, 3), sizes))
    side = 224 if variant.startswith('imagenet:') else 512
    return Published(module, (_shape(1, side, side, 3),), {'train': False})
  made = make_perceiver(variant, **options)
  kwargs = {}
  if name == _TRAINING:
    points = {'audio': np.arange(512 // 16), 'image': np.arange(512)}
    kwargs = {'points': points}
  return Published(made.model, (made.inputs,), kwargs)


def _entities(name, **options):
  """The encoder alone of 512 entities."""
  of_run = config(name)
  encoder = dict(of_run.model.encoder)
  if 'fold_projections' in encoder:
    encoder['fold_projections'] = options.get('fold_projections', True)
  module = task_lib.function_named(of_run.task.make_encoder)(**encoder)
  return Published(module, (_shape(1, 512, 256), _shape(1, 512)))


def _points(**options):
  """The classifier of point clouds."""
  of_run = config(_POINTS)
  of_run.model.encoder.update(options)
  num = of_run.data.preprocess.num_points
  args = (_shape(1, num, 0), _shape(1, num, 3), _shape(1, num))
  return Published(task_lib.make_task(of_run).model, args)


def sizes(name: str) -> dict[str, list[int]]:
  """Of a Perceiver, [elements, channels] of `inputs`, `latents` and `queries`.

  And [channels], the hidden ones of MLPs: of latents `hidden`, of queries
  `query_hidden`. What it has no decoder for, or is no Perceiver, is left out.
  """
  if not name.startswith('perceiver_io/'):
    return {}
  found = {}

  def note(call, args, kwargs, context):
    made = call(*args, **kwargs)
    if context.method_name == '__call__':
      if isinstance(context.module, Encoder):
        found.update(inputs=args[0].shape[1:], latents=made.shape[1:])
      elif context.module.name == 'decoder':
        found.update(queries=args[0].shape[1:])
      elif context.module.path[-2:] == ('mlp', 'hidden'):
        is_decoder = 'decoder' in context.module.path
        found['query_hidden' if is_decoder else 'hidden'] = made.shape[-1:]
    return made

  with nn.intercept_methods(note):
    model(name).in_loops().variables()
  return {key: list(found[key]) for key in sorted(found)}


@functools.cache
def variables(name: str) -> PyTree:
  """Shapes of the variables of a model."""
  return model(name).variables()


def config_of(name: str) -> str:
  """What --config names the model, '' if it has no config."""
  try:
    config(name)
  except (ModuleNotFoundError, ValueError):
    return ''
  path, colon, variant = name.partition(':')
  return f'configs/{path}.py{colon}{variant}'


def config(name: str) -> ml_collections.ConfigDict:
  """The config that a name of NAMES, or of any config, is that of.

  Raises:
    ModuleNotFoundError, ValueError: there is none.
  """
  path, _, variant = name.partition(':')
  module = importlib.import_module(f'configs.{path.replace("/", ".")}')
  return module.get_config(*[variant] if variant else [])
