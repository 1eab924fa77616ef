"""What is counted, compiled or timed, and trained by nobody.

Each function is a measurement: it returns numbers by name. Operations are
multiply-adds of all products, counted in traced programs; memory is the peak
of temporaries by XLA's analysis of programs that are compiled and not run.
"""

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from baselines import bert, vit
from benchmarks import high_resolution, scaling
from paca_vit.attention import PacaSelfAttention
from paca_vit.clustering import ConvClustering
from perceiver_io import variants
from perceiver_io.attention import CrossAttention, SelfAttention
from perceiver_io.load import make as make_perceiver
from perceiver_paca.ops import attention as attention_ops
from tools import published_models
from train_lib import cost

Values = dict[str, Any]
# The analysis is of the buffers, not of the code.
QUICK = {'xla_backend_optimization_level': 0}
CHANNELS, HEADS = 384, 6  # DeiT-small's
PATCHES = (196, 1_024, 4_096, 9_216, 16_384)


def _memory(case: scaling.Case) -> int:
  """Bytes of temporaries of the loss and its gradient."""

  def loss(*args):
    return jnp.sum(jnp.square(case.fn(*args)))

  step = jax.jit(jax.grad(loss), compiler_options=QUICK)
  program = step.lower(*case.args).compile()
  return program.memory_analysis().temp_size_in_bytes


def interactions() -> Values:
  """DeiT-small at 224 x 224: pairs, and multiply-adds by what they are for."""
  found = {}
  tokens = (196, CHANNELS)
  for clusters in (0, 49, 64, 100):
    keys = clusters or 196
    attention = vit.SelfAttention(HEADS)
    if clusters:
      make = functools.partial(ConvClustering, num_clusters=clusters)
      attention = PacaSelfAttention(HEADS, make, (14, 14))
    q = jax.ShapeDtypeStruct((1, 196, HEADS, CHANNELS // HEADS), 'float32')
    k = jax.ShapeDtypeStruct((1, keys, HEADS, CHANNELS // HEADS), 'float32')
    plain = functools.partial(attention_ops.attention, implementation='plain')
    name = f'{clusters} clusters' if clusters else 'full'
    found[name] = {
      'pairs': 196 * keys,
      'of pairs': cost.multiply_adds(plain, q, k, k),
      'of the layer': scaling.case_of(attention, tokens).multiply_adds(),
      'of the block': scaling.case_of(
        vit.Block(attention), tokens
      ).multiply_adds(),
    }
  return found


def growth_of_attention() -> Values:
  """A narrow ViT block over the number of patches."""
  found = {}
  for name in ('full, all logits', 'PaCa, 64 clusters', 'PaCa, 100 clusters'):
    attention = scaling.ATTENTIONS[name]
    rows = {}
    for patches in PATCHES:
      case = scaling.block(patches, attention)
      rows[str(patches)] = {
        'multiply_adds': case.multiply_adds(),
        'training_bytes': _memory(case),
      }
    found[name] = rows
  return found


def time_of_attention() -> Values:
  """The same block, forward: CPU seconds of all cores, the least of ten."""
  cases, found = {}, {}
  for name in (
    *('full, all logits', 'full, chunked'),
    *('PaCa, 64 clusters', 'PaCa, 100 clusters'),
  ):
    for side in (14, 24, 32, 48, 64):
      case = scaling.block(side**2, scaling.ATTENTIONS[name])
      cases[name, side] = _runnable(case)
  for name in ('full, all logits', 'PaCa, 64 clusters', 'PaCa, 100 clusters'):
    cases[f'DeiT-small, {name}', 14] = _runnable(
      scaling.classifier(scaling.ATTENTIONS[name])
    )
  for _ in range(10):
    for (name, side), run in cases.items():
      seconds = found.setdefault(name, {})
      key = str(side**2)
      seconds[key] = min(run(), seconds.get(key, math.inf))
  return found


def _runnable(case: scaling.Case) -> Callable[[], float]:
  """What runs a case once and returns its CPU seconds."""
  program = jax.jit(case.fn).lower(*case.args).compile()
  args = jax.tree.map(lambda x: jnp.full(x.shape, 0.01, x.dtype), case.args)

  def run():
    began = time.process_time()
    jax.block_until_ready(program(*args))
    return time.process_time() - began

  return run


def growth_of_perceiver() -> Values:
  """The three stages of a small Perceiver IO over inputs and queries."""
  found = {'process': scaling.process().multiply_adds()}
  for name, stage in (('encode', scaling.encode), ('decode', scaling.decode)):
    for kind, options in (
      ('all logits', scaling.PLAIN),
      ('chunked', scaling.CHUNKED),
    ):
      rows = {}
      for size in (1_024, 4_096, 16_384, 65_536):
        case = stage(size, **options)
        rows[str(size)] = {
          'multiply_adds': case.multiply_adds(),
          'training_bytes': _memory(case),
        }
      found[f'{name}, {kind}'] = rows
  return found


def layer_of_pixels() -> Values:
  """A layer on ImageNet's 512 latents and one on its 50,176 pixels."""
  layer = SelfAttention(num_heads=8, implementation='plain')
  return {
    str(size): scaling.case_of(layer, (size, 1_024)).multiply_adds()
    for size in (512, 50_176)
  }


def flow_memory() -> Values:
  """Optical flow's encoding cross-attend, with all logits and in chunks."""
  found = {}
  for kind in ('plain', 'chunked'):
    layer = CrossAttention(num_heads=1, implementation=kind)
    case = scaling.case_of(layer, (2_048, 512), (182_528, 322))
    program = jax.jit(case.fn, compiler_options=QUICK)
    memory = program.lower(*case.args).compile().memory_analysis()
    found[kind] = memory.temp_size_in_bytes
  return found


def bytes_operations() -> Values:
  """BERT Base on 512 tokens and on 2,048 bytes, and Perceiver IO on bytes."""
  found = {}
  for name, vocabulary, length in (
    ('BERT Base, 512 tokens', 32_000, 512),
    ('BERT Base, 2048 bytes', 262, 2_048),
  ):
    model = bert.Bert(vocabulary, length, 768, 12, 12, 3_072, scan_layers=True)
    ids = jax.ShapeDtypeStruct((1, length), 'int32')
    variables = jax.eval_shape(model.init, jax.random.key(0), ids)
    found[name] = cost.multiply_adds(model.apply, variables, ids)
  made = make_perceiver(
    'mlm:base_bytes', implementation='plain', fold_projections=False
  )
  variables = jax.eval_shape(made.model.init, jax.random.key(0), made.inputs)
  found['Perceiver IO, 2048 bytes'] = cost.multiply_adds(
    made.model.apply, variables, made.inputs
  )
  return found


def compression() -> Values:
  """Numbers of the autoencoder's inputs and of its latents, by variant."""
  raw = 16 * 224 * 224 * 3 + 30_720
  return {
    name: {
      'latents': sizes['encoder']['num_latents']
      * sizes['encoder']['latent_channels'],
      'embedded video': 16 * 56 * 56 * 704,
      'raw video and sound': raw,
    }
    for name, sizes in variants.AUTOENCODERS.items()
  }


def resolutions() -> Values:
  """PaCa-ViT-Tiny and the same with full attention: forward multiply-adds."""
  found = {}
  for name, clustered in (('PaCa', True), ('full', False)):
    model = high_resolution.make_model(clustered, 'plain')
    found[name] = {
      str(size): cost.multiply_adds(
        high_resolution.forward(model), *high_resolution.arguments(model, size)
      )
      for size in (256, 512, 1_024)
    }
  return found


def parameters_of_length() -> Values:
  """Parameters of a block for 196 and for 784 patches."""
  return {
    name: {
      str(side**2): cost.num_params(
        scaling.block(side**2, scaling.ATTENTIONS[name]).args[0]
      )
      for side in (14, 28)
    }
    for name in ('full, all logits', 'PaCa, 64 clusters', 'Linformer')
  }


def parameter_shares() -> Values:
  """Of PaCa-ViTs: parameters of the clusterings and of all."""
  found = {}
  for name in ('tiny_p2cconv_100_0', 'small_p2cconv_100_0'):
    params = published_models.variables(f'paca_vit/imagenet:{name}')['params']
    flat = jax.tree_util.tree_leaves_with_path(params)
    clusterings = [
      x for path, x in flat if 'clustering' in jax.tree_util.keystr(path)
    ]
    found[name] = {
      'clusterings': cost.num_params(clusterings),
      'all': cost.num_params(params),
    }
  return found


MEASUREMENTS: dict[str, Callable[[], Values]] = {
  fn.__name__: fn
  for fn in (
    *(interactions, growth_of_attention, time_of_attention),
    *(growth_of_perceiver, layer_of_pixels, flow_memory, bytes_operations),
    *(compression, resolutions, parameters_of_length, parameter_shares),
  )
}
