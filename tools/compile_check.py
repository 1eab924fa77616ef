"""Compiles full-size configs for the TPUs that they name, without any TPU.

  python -m tools.compile_check --output=docs/compile-check.md
  python -m tools.compile_check --only=perceiver_io/mlm:base_bytes

A config module says in TPU_TOPOLOGIES what to compile: variant -> (topology,
options to set); other variants, which --only may name, go by the first of them.
The real train step and the real evaluation step are compiled ahead of time, in
bfloat16, by libtpu (extra tpu-compile). What does not fit into the device's
memory, a large array that a device gathers whole although it is no parameter,
and a large part of the state that is not split although the mesh could split
it are errors, which name the array.

Nothing is run: step times are those of a roofline, the slowest of arithmetic,
memory and communication, as if each ran at its peak.
"""

import concurrent.futures
import dataclasses
import functools
import glob
import importlib
import math
import multiprocessing
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
from absl import app, flags  # noqa: E402
from jax.experimental import topologies  # noqa: E402

import train  # noqa: E402
from tools import hlo  # noqa: E402
from tools.output import OUTPUT  # noqa: E402
from train_lib import (  # noqa: E402
  cost,
  evaluate,
  optim,
  sharding,
  stacking,
  train_state,
)
from train_lib.data import pipeline  # noqa: E402
from train_lib.task import make_task  # noqa: E402

PyTree = Any
ROOT = pathlib.Path(__file__).parent.parent
ONLY = flags.DEFINE_multi_string(
  'only', [], 'Check these, such as perceiver_io/mlm:base_bytes; all if none.'
)
JOBS = flags.DEFINE_integer('jobs', 2, 'How many to compile at a time.')

# XLA's EffortLevel.O0, for PaCa-ViT's many kinds of layers: normally they
# compile for 9 minutes each.
LEAST_EFFORT = {'optimization_level': 9}

# A whole array of this many bytes on a device is one too many.
LARGE = 64 * 2**20


@dataclasses.dataclass(frozen=True)
class Chip:
  """Peak figures of a device, by its maker's pages.

  Attributes:
    flops: bfloat16 operations a second.
    hbm: bytes of memory.
    bandwidth: of the memory, bytes a second.
    interconnect: bytes a second that leave it, over all links together.
  """

  flops: float
  hbm: float
  bandwidth: float
  interconnect: float

  def seconds(self, flops: float, moved: float, sent: float) -> float:
    """The roofline of a step."""
    return max(
      flops / self.flops, moved / self.bandwidth, sent / self.interconnect
    )


CHIPS = {
  'v4': Chip(275e12, 32 * 2**30, 1228e9, 300e9),
  'v5e': Chip(197e12, 16 * 2**30, 819e9, 200e9),
  'v5p': Chip(459e12, 95 * 2**30, 2765e9, 600e9),
  'v6e': Chip(918e12, 32 * 2**30, 1640e9, 448e9),
}
# What the paper's figures were measured on. The interconnect is a 1,024th of
# the 340 TB/s that a pod of so many reduces. "64 TPUv3" must be chips: 64 of
# their cores could at their peak not reach ImageNet's published rate.
V3 = Chip(123e12, 32 * 2**30, 900e9, 332e9)
# Steps a second (Jaegle et al. 2021b): ImageNet on 64 TPUv3 (table 8), the
# language model (table 1) on a number of devices that the paper does not state.
PUBLISHED = {
  'perceiver_io/imagenet:fourier': 4.85,
  'perceiver_io/imagenet:learned': 4.14,
  'perceiver_io/imagenet:conv': 5.58,
  'perceiver_io/imagenet:original_fourier': 4.73,
  'perceiver_io/imagenet:original_learned': 4.16,
  'perceiver_io/imagenet:original_conv': 4.73,
  'perceiver_io/mlm:base_bytes': 7.6,
}


class CheckError(ValueError):
  """A config does not fit its topology."""


@dataclasses.dataclass(frozen=True)
class Report:
  """What compilation says of a step; figures are of one device.

  Attributes:
    name, topology: of the config.
    options: that were set.
    num_devices: of the topology.
    num_params: of the model.
    arguments, temporaries: bytes of memory, in training.
    eval_memory: bytes of arguments and temporaries, in evaluation.
    flops: of the model's products, forward and backward.
    moved: bytes read and written.
    collectives: kind -> bytes of the results.
    seconds: that compiling both steps took.
  """

  name: str
  topology: str
  options: dict[str, Any]
  num_devices: int
  num_params: int
  arguments: int
  temporaries: int
  eval_memory: int
  flops: float
  moved: float
  collectives: dict[str, int]
  seconds: float

  @property
  def chip(self) -> Chip:
    return CHIPS[self.topology.split(':')[0]]

  def step_seconds(self, chip: Chip) -> float:
    # A ring passes the summands on and then the sums.
    sent = sum(
      size * (2 if kind == 'all-reduce' else 1)
      for kind, size in self.collectives.items()
    )
    return chip.seconds(self.flops, self.moved, sent)


def full_size() -> list[str]:
  """What is compiled if nothing is named, perceiver_io/mlm:base_bytes, ..."""
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
  task = make_task(config)
  batch = _batch_spec(config.data, mesh)
  tx, _ = optim.make_optimizer(config.optim, config.num_steps)
  state, _ = train_state.create(
    task, tx, batch, config.seed, mesh, config.sharding
  )
  _check_layout(name, state, mesh)
  step = functools.partial(
    train.train_step,
    task=task,
    tx=tx,
    seed=config.seed,
    num_microbatches=config.optim.num_microbatches,
  )
  out = jax.tree.map(lambda x: x.sharding, state), sharding.replicated(mesh)
  program = _compile(
    name,
    jax.jit(
      sharding.on_mesh(mesh, step), donate_argnums=0, out_shardings=out
    ).lower(state, batch),
  )
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
  data = data.copy_and_resolve_references()
  data.update(source='synthetic', num_threads=0)  # nothing is read ahead
  here = jax.sharding.Mesh(jax.devices()[:1], ('data',))
  batches = pipeline.make_train_iterator(
    data, seed=0, sharding=sharding.batch_sharding(here)
  )
  split = sharding.batch_sharding(mesh)
  pipeline.local_rows(split, data.batch_size)  # raises if it does not divide
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=sharding.leaf_sharding(split, x.shape)
    ),
    batches.element_spec,
  )


def _eval_memory(name, config, task, state, mesh, hbm) -> int:
  """Bytes of the evaluation's step: of metrics, or of predictions for a batch
  like that of training where an evaluator of its own makes something of them.
  """
  step, data = task.predict, config.data
  for section in config.evals.values():
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
  if all(mesh.shape.get(axis, 1) == 1 for axis in ('fsdp', 'tensor')):
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


HEADER = (
  ('config', '---'),
  ('topology', '---'),
  ('devices', '--:'),
  ('parameters', '--:'),
  ('arguments GiB', '--:'),
  ('temporaries GiB', '--:'),
  ('evaluation GiB', '--:'),
  ('of GiB', '--:'),
  ('TFLOPs', '--:'),
  ('GB moved', '--:'),
  ('collectives', '---'),
  ('roofline s', '--:'),
  ('MFU', '--:'),
  ('64 TPUv3: roofline steps/s', '--:'),
  ('published', '--:'),
  ('compiled in s', '--:'),
)


def row(r: Report) -> str:
  seconds = r.step_seconds(r.chip)
  published = PUBLISHED.get(r.name)
  v3 = f'{1 / r.step_seconds(V3):.2f}' if r.num_devices == 64 else '–'
  cells = [
    f'`{r.name}`' + ''.join(f' `{k}={v}`' for k, v in r.options.items()),
    r.topology,
    str(r.num_devices),
    f'{r.num_params / 1e6:.1f}M',
    f'{r.arguments / 2**30:.2f}',
    f'{r.temporaries / 2**30:.2f}',
    f'{r.eval_memory / 2**30:.2f}',
    f'{r.chip.hbm / 2**30:.0f}',
    f'{r.flops / 1e12:.2f}',
    f'{r.moved / 1e9:.1f}',
    '; '.join(f'{k} {v / 2**20:.1f} MiB' for k, v in r.collectives.items()),
    f'{seconds:.3f}',
    f'{r.flops / seconds / r.chip.flops:.0%}',
    v3,
    str(published or '–'),
    f'{r.seconds:.0f}',
  ]
  return '| ' + ' | '.join(cells) + ' |'


def table(reports: list[Report]) -> str:
  names, rules = zip(*HEADER, strict=True)
  lines = ['| ' + ' | '.join(names) + ' |', '| ' + ' | '.join(rules) + ' |']
  return '\n'.join(lines + [row(r) for r in reports]) + '\n'


INTRODUCTION = """# Full-size configs, compiled for TPUs

Written by `python -m tools.compile_check --output=docs/compile-check.md`, which
needs no TPU, only its compiler (`pip install -e '.[tpu-compile]'`).

Figures are of one device. *Arguments* are the state and the batch; *evaluation*
is all that its step needs: the metrics of a batch, or the predictions where an
evaluator of its own makes something of them. *TFLOPs* are those of matrix
products and convolutions, two a multiply-add, recomputation included. *GB
moved* is read and written by the compiled program's fusions, and *collectives*
are bytes of results, loops counted as often as they run. The *roofline* is the
slowest of arithmetic, memory and communication at their peaks, and *MFU* what
it implies: bounds, not measurements. Where a topology has 64 devices, the same
figures give the roofline of 64 TPUv3, beside the steps a second that the
paper publishes (for the language model without the number of devices).

PaCa-ViT is compiled at XLA's least effort, O0, in a sixth of the time. Of its
Tiny and Base, O1 changes no figure by more than 1%.

"""


def main(argv):
  del argv
  names = ONLY.value or full_size()
  try:
    named = [topology_of(name) for name in names]
    for name, (_, options) in zip(names, named, strict=True):
      config_of(name, options)  # raises, too, and now rather than later
  except ValueError as e:
    raise app.UsageError(str(e)) from e
  reports, num_failed = [], 0
  with concurrent.futures.ProcessPoolExecutor(
    JOBS.value,
    mp_context=multiprocessing.get_context('spawn'),
    max_tasks_per_child=1,  # the compiler keeps memory
  ) as pool:
    checks = [
      pool.submit(check, name, *topology)
      for name, topology in zip(names, named, strict=True)
    ]
    for done in checks:
      try:
        reports.append(done.result())
        print(row(reports[-1]), flush=True)
      except CheckError as e:
        num_failed += 1
        print(f'FAILED {e}', flush=True)
  if num_failed:
    raise SystemExit(f'{num_failed} of {len(names)} configs do not fit.')
  if OUTPUT.value:
    with open(OUTPUT.value, 'w') as file:
      file.write(INTRODUCTION + table(reports))


if __name__ == '__main__':
  app.run(main)
