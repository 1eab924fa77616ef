"""Compiles the steps of a config and says what does not fit."""

import glob
import importlib
import math
import os
import pathlib
import time
from typing import Any

os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
os.environ.setdefault('TPU_ACCELERATOR_TYPE', 'v5litepod-8')
os.environ.setdefault('TPU_WORKER_HOSTNAMES', 'localhost')
os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')  # one a process
os.environ['JAX_PLATFORMS'] = 'cpu'

import jax  # noqa: E402
import ml_collections  # noqa: E402
from jax.experimental import topologies  # noqa: E402

import train  # noqa: E402
from perceiver_paca.ops.mesh import FSDP, TENSOR  # noqa: E402
from tools.compile_check import hlo  # noqa: E402
from tools.compile_check.report import CHIPS, Report  # noqa: E402
from train_lib import (  # noqa: E402
  batch_layout,
  cost,
  evaluate,
  evaluators,
  pipeline,
  setup,
  sharding,
  stacking,
)

PyTree = Any
ROOT = pathlib.Path(__file__).parents[2]

# XLA's EffortLevel.O0, for PaCa-ViT's many kinds of layers: normally they
# compile for 9 minutes each.
LEAST_EFFORT = {'optimization_level': 9}

# A whole array of this many bytes on a device is one too many.
LARGE = 64 * 2**20


class CheckError(ValueError):
  """A config does not fit its topology."""


def full_size() -> list[str]:
  """What is compiled if nothing is named, perceiver_io/imagenet:fourier, ..."""
  return [f'{name}:{v}' for name in _configs() for v in _topologies(name)]


def topology_of(name: str) -> tuple[str, dict[str, Any]]:
  """The topology and the options for a name like those of `full_size`.

  Raises:
    ValueError: there is no such config, or none of full size.
  """
  config, _, variant = name.partition(':')
  named = _topologies(config) if config in _configs() else {}
  if not named:
    raise ValueError(
      f'--only: found {name!r}, expected one such as {full_size()}.'
    )
  return named.get(variant, next(iter(named.values())))


def config_of(name: str, options: dict[str, Any]) -> ml_collections.ConfigDict:
  """A config in bfloat16, with options set."""
  name, _, variant = name.partition(':')
  config = _module(name).get_config(variant)
  config.update_from_flattened_dict({'model.dtype': 'bfloat16'} | options)
  return config


def _configs() -> list[str]:
  paths = sorted(glob.glob('*/*.py', root_dir=ROOT / 'configs'))
  return [path.removesuffix('.py') for path in paths]


def _topologies(config: str) -> dict[str, tuple[str, dict[str, Any]]]:
  return getattr(_module(config), 'TPU_TOPOLOGIES', {})


def _module(config: str):
  return importlib.import_module(f'configs.{config.replace("/", ".")}')


def check(name: str, topology: str, options: dict[str, Any]) -> Report:
  """Compiles the train and the evaluation step.

  Raises:
    CheckError: naming what does not fit.
  """
  began = time.monotonic()
  config = config_of(name, options)
  devices = topologies.get_topology_desc(
    platform='tpu', topology_name=topology
  ).devices
  mesh = sharding.make_mesh(config.mesh, devices)
  batch = _batch_spec(config.data, mesh)
  run = setup.make_setup(config, mesh=mesh, batch=batch)
  task, state = run.task, run.state
  _check_layout(name, state, mesh)
  step = train.make_step(run, config)
  program = _compile(name, step.lower(state, batch))
  memory = program.memory_analysis()
  hbm = CHIPS[topology.split(':')[0]].hbm
  _check_memory(name, memory, hbm)
  traffic = hlo.Program(program.as_text())
  collectives = traffic.collectives()
  check_gathers(name, collectives, state.params)

  by_kind = dict.fromkeys(sorted({c.kind for c in collectives}), 0)
  for c in collectives:
    by_kind[c.kind] += c.size * c.times
  return Report(
    name=name,
    topology=topology,
    options=options,
    num_devices=len(devices),
    num_params=cost.num_params(state.params),
    arguments=memory.argument_size_in_bytes,
    temporaries=memory.temp_size_in_bytes,
    eval_memory=_eval_memory(name, config, task, state, mesh, hbm),
    flops=2 * cost.multiply_adds(step, state, batch) / len(devices),
    moved=traffic.bytes_accessed(),
    collectives=by_kind,
    seconds=time.monotonic() - began,
  )


def _batch_spec(data: ml_collections.ConfigDict, mesh) -> PyTree:
  """Shapes of a global batch, laid out on devices that are not here."""
  made_up = pipeline.inherited(data, {'source': 'synthetic'})
  split = sharding.batch_sharding(mesh)
  batch_layout.local_rows(
    split, data.batch_size
  )  # raises if it does not divide
  return batch_layout.batch_spec(
    pipeline.training_example(made_up), data.batch_size, split
  )


def _eval_memory(name, config, task, state, mesh, hbm) -> int:
  """Bytes of the evaluation's step: of metrics, or of predictions for a batch
  like that of training where an evaluator of its own makes something of them.
  """
  step, data = task.predict, config.data
  for section in evaluators.sections(config).values():
    if section.module == evaluate.__name__:
      step, data = task.metrics, section.data
      break
  lowered = jax.jit(sharding.on_mesh(mesh, step)).lower(
    state.eval_variables, _batch_spec(data, mesh)
  )
  memory = _compile(name, lowered).memory_analysis()
  _check_memory(name, memory, hbm)
  return memory.argument_size_in_bytes + memory.temp_size_in_bytes


def _compile(name, lowered):
  effort = LEAST_EFFORT if name.startswith('paca_vit/') else {}
  try:
    return lowered.compile(compiler_options=effort)
  except jax.errors.JaxRuntimeError as e:
    if 'RESOURCE_EXHAUSTED' not in str(e):
      raise
    # It lists the largest allocations with what they are of.
    raise CheckError(f'{name}: does not fit. {e!s:.3000}') from e


def _check_memory(name, memory, hbm) -> None:
  used = memory.argument_size_in_bytes + memory.temp_size_in_bytes
  if used > hbm:
    raise CheckError(
      f'{name}: a device needs {used / 2**30:.1f} GiB, of which '
      f'{memory.temp_size_in_bytes / 2**30:.1f} GiB are temporaries; it has '
      f'{hbm / 2**30:.0f}.'
    )


def _check_layout(name: str, state: PyTree, mesh) -> None:
  """Raises if a large leaf is whole everywhere on a mesh that splits states."""
  if all(mesh.shape.get(axis, 1) == 1 for axis in (FSDP, TENSOR)):
    return
  for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
    size = math.prod(leaf.shape) * leaf.dtype.itemsize
    if size >= LARGE and leaf.sharding.is_fully_replicated:
      raise CheckError(
        f'{name}: {sharding.path_name(path)} {leaf.shape}, '
        f'{size / 2**20:.0f} MiB, is whole on every device of {mesh.shape}.'
      )


def check_gathers(name: str, collectives, params: PyTree) -> None:
  """Raises if a device gathers a large array other than a layer's parameter.

  Args:
    name: of the config.
    collectives: of the program, `hlo.Collective`s.
    params: arrays or shapes.

  Raises:
    CheckError: naming the array and where it comes from.
  """
  layers = jax.eval_shape(stacking.unstacked, params)
  parameters = {_without_ones(x.shape) for x in jax.tree.leaves(layers)}
  for c in collectives:
    if c.kind == 'all-gather':
      for shape, size in c.results:
        if size >= LARGE and _without_ones(shape) not in parameters:
          raise CheckError(
            f'{name}: every device gathers {shape}, {size / 2**20:.0f} MiB, '
            f'in {c.op_name}.'
          )


def _without_ones(shape):
  return tuple(size for size in shape if size != 1)
