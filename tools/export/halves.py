"""A Perceiver's encoder and decoder apart: encode once, ask many queries.

Outputs do not see each other, so a decoder that answers some queries at a time
gives what all queries together do. Queries are

  arrays        `queries`, places, of models that are asked places
  flow          `queries`, what the encoder's file says of every pixel
  autoencoding  `points_image` and `points_audio`, flat indices of pixels and
                of patches of samples

Letters: B batch, N latents, O queries at a time, C channels.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from perceiver_io.outputs import Flow
from perceiver_io.perceiver import Encoder
from tools.export.run import Arrays, Exportable, widened

LATENTS = 'latents'


class Halves(NamedTuple):
  """Attributes:
  encoder: to `latents` [B, N, C], of flow `queries` [B, ., C], too.
  decoder: of `latents` and the queries [B, O, ...].
  asked: names of the decoder's inputs that are queries, whose axis 1 is O.
  answers: output -> (what of `asked` it answers, numbers along axis 1 for each
    query); an output that is not named is the same for any queries.
  whole: the prediction that the answers to all queries are, by their names
    with axis 1 for the queries, of the example that the encoder has.
  """

  encoder: Exportable
  decoder: Exportable
  asked: tuple[str, ...]
  answers: dict[str, tuple[str, int]]
  whole: Arrays


def split(exportable: Exportable, num_queries: int) -> Halves:
  """The two halves of a run's model.

  Args:
    exportable: the run.
    num_queries: O.

  Raises:
    ValueError: the task's model has no queries that could be asked apart.
  """
  module = exportable.config.task.module
  makers = {
    'perceiver_io.tasks.arrays': _arrays,
    'perceiver_io.tasks.optical_flow': _flow,
    'perceiver_io.tasks.autoencoding': _autoencoding,
  }
  if module not in makers:
    raise ValueError(
      f'--queries: found a run of {module}, expected one of {sorted(makers)}.'
    )
  return makers[module](exportable, num_queries)


def _halves(exportable, encode, decode, asked, answers, number, whole):
  """Of functions of named arrays; `asked` has all queries of the example."""
  wide = functools.partial(jax.tree.map, widened, exportable.variables)
  encoder = _of(exportable, lambda x: encode(wide(), x), exportable.inputs)
  encoded = jax.device_get(jax.jit(encoder.predict)(exportable.inputs))
  asked = {name: encoded.get(name, x) for name, x in asked.items()}
  inputs = {LATENTS: encoded[LATENTS]} | {
    name: np.take(x, np.arange(number) % x.shape[1], axis=1)
    for name, x in asked.items()
  }
  decoder = _of(exportable, lambda x: decode(wide(), x), inputs)
  return Halves(encoder, decoder, tuple(asked), answers, asked | whole)


def _of(exportable: Exportable, predict: Callable, inputs: Arrays):
  inputs = dict(sorted(inputs.items()))
  outputs = jax.eval_shape(predict, inputs)
  return exportable._replace(
    predict=predict, inputs=inputs, outputs=dict(sorted(outputs.items()))
  )


def _arrays(exportable, number):
  task = exportable.task
  if 'queries' not in exportable.inputs:
    raise ValueError(
      '--queries: found a model that is not asked places; expected one whose '
      'data have `queries`.'
    )
  inputs = {k: x for k, x in exportable.inputs.items() if k != 'queries'}

  def encode(variables, x):
    latents = []

    def note(next_method, args, kwargs, context):
      found = next_method(*args, **kwargs)
      if _is_encoder(context):
        latents.append(found)
      return found

    batch = x | {'queries': x['coordinates']}
    with nn.intercept_methods(note):
      task.predict(variables, batch)
    return {LATENTS: latents[0]}

  def decode(variables, x):
    def replace(next_method, args, kwargs, context):
      if _is_encoder(context):
        return x[LATENTS]
      return next_method(*args, **kwargs)

    size = x[LATENTS].shape[0]
    unread = {k: jnp.zeros((size, *v.shape[1:])) for k, v in inputs.items()}
    with nn.intercept_methods(replace):
      return task.predict(variables, unread | {'queries': x['queries']})

  (output,) = exportable.outputs
  halves = _halves(
    exportable._replace(inputs=inputs),
    encode,
    decode,
    {'queries': exportable.inputs['queries']},
    {output: ('queries', 1)},
    number,
    exportable.predict(exportable.inputs),
  )
  return halves


def _is_encoder(context):
  return isinstance(context.module, Encoder) and (
    context.method_name == '__call__'
  )


def _flow(exportable, number):
  model = exportable.task.model
  if not isinstance(model.outputs, Flow):
    raise ValueError(
      '--queries: found a model that makes the flow of a pixel of several '
      'queries; expected one of patches.'
    )
  asking = model.clone(outputs=Flow(1, number, model.outputs.scale))

  def encode(variables, x):
    def run(model, frames):
      inputs = model.inputs(frames, train=False)
      return {
        LATENTS: model.encoder(inputs),
        'queries': model.queries(inputs),
      }

    return model.apply(variables, x['frames'], method=run)

  def decode(variables, x):
    def run(model, latents, queries):
      return model.outputs(model.decoder(queries, latents))[:, 0]

    flow = asking.apply(variables, x[LATENTS], x['queries'], method=run)
    return {'flow': flow}

  flow = exportable.predict(exportable.inputs)['flow']
  return _halves(
    exportable,
    encode,
    decode,
    {'queries': None},
    {'flow': ('queries', 1)},
    number,
    {'flow': flow.reshape(len(flow), -1, 2)},
  )


def _autoencoding(exportable, number):
  task = exportable.task
  model, totals = task.model, task.num_outputs()
  names = {f'points_{name}': name for name in totals}

  def encode(variables, x):
    label = jnp.zeros((x['image'].shape[0], task.num_classes))
    inputs = {'image': x['image'], 'audio': x['audio'], 'label': label}
    _, latents = model.apply(variables, inputs, {'label': 1.0}, method='encode')
    return {LATENTS: latents}

  def decode(variables, x):
    unread = jnp.zeros((x[LATENTS].shape[0], 1, 1))
    points = {name: x[key] for key, name in names.items()}
    found = model.apply(variables, unread, x[LATENTS], points, method='decode')
    return {
      'image': jnp.clip(found['image'], 0, 1),
      'audio': jnp.clip(found['audio'], -1, 1),
      'label': found['label'],
    }

  inputs = {k: exportable.inputs[k] for k in ('image', 'audio')}
  whole = exportable.predict(exportable.inputs)
  samples = whole['audio'].shape[1] // totals['audio']
  return _halves(
    exportable._replace(inputs=inputs),
    encode,
    decode,
    {
      f'points_{name}': np.arange(total, dtype=np.int32)[None]
      for name, total in totals.items()
    },
    {'image': ('points_image', 1), 'audio': ('points_audio', samples)},
    number,
    whole | {'image': whole['image'].reshape(1, totals['image'], -1)},
  )
