"""Speed and memory of a config's train step on one device.

  python -m benchmarks.train_step --config=configs/perceiver_io/mlm.py \
    --batch_size=32 --config.model.dtype=bfloat16 \
    --peer=PerceiverForMaskedLM

Prints examples a second, seconds a step (median), the model's operations as a
share of what a large matrix product reaches on the same device (MFU), and the
peak of device memory. Steps get one batch that is on the device already.

--peer names the same model's class in `transformers`, which runs after it in a
process of its own: under torch.compile, in the same precision (autocast for
bfloat16), with fused AdamW. There is PerceiverForMaskedLM for mlm:base_bytes,
and PerceiverForImageClassificationFourier, ...Learned and ...ConvProcessing for
ImageNet. Needs the extra `parity`; on a GPU, PyTorch for it.
"""

import json
import subprocess
import sys
import time

import numpy as np
from absl import app, flags

from train_lib import runtime

_BATCH_SIZE = flags.DEFINE_integer('batch_size', 1, 'Examples.', lower_bound=1)
_STEPS = flags.DEFINE_integer('steps', 10, 'Timed ones.', lower_bound=1)
_PEER = flags.DEFINE_string('peer', None, 'Class of transformers.')
_ONLY_PEER = flags.DEFINE_bool('only_peer', False, 'Print its figures as JSON.')


def median_seconds(step) -> float:
  """Of `step()`, which waits for its result; the first two are not timed."""
  seconds = []
  for i in range(_STEPS.value + 2):
    began = time.perf_counter()
    step()
    if i > 1:
      seconds.append(time.perf_counter() - began)
  return float(np.median(seconds))


def product_flops(dtype: str) -> float:
  """Operations a second of a large matrix product on this device."""
  import jax
  import jax.numpy as jnp

  size = 1024 if jax.default_backend() == 'cpu' else 8192
  x = jnp.full((size, size), 1 / size, dtype)
  product = jax.jit(lambda x: x @ x)
  return 2 * size**3 / median_seconds(lambda: product(x).block_until_ready())


def ours(config, dtype: str) -> dict[str, float]:
  """Seconds a step, MFU and GiB."""
  import jax

  from benchmarks import one_device
  from train_lib import cost

  made = one_device.make_train_step(config, _BATCH_SIZE.value)
  program = made.lower().compile()
  state, batch = made.init(), next(made.batches)

  def step():
    nonlocal state
    state, scalars = program(state, batch)
    jax.block_until_ready(scalars)

  seconds = median_seconds(step)
  flops = 2 * cost.multiply_adds(made.step, made.state, batch)
  ceiling = product_flops(dtype)
  memory = jax.local_devices()[0].memory_stats()
  if memory:
    peak = memory['peak_bytes_in_use']
  else:  # A CPU does not count: by XLA's analysis.
    analysis = program.memory_analysis()
    peak = analysis.argument_size_in_bytes + analysis.temp_size_in_bytes
  return dict(seconds=seconds, mfu=flops / seconds / ceiling, gib=peak / 2**30)


def peer(class_name: str, dtype: str) -> dict[str, float]:
  """Seconds a step and GiB of a model of `transformers`."""
  import torch
  import transformers

  torch.manual_seed(0)
  torch.set_float32_matmul_precision('high')  # as JAX has it on GPUs
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  batch = _BATCH_SIZE.value
  if class_name == 'PerceiverForMaskedLM':
    config = transformers.PerceiverConfig(qk_channels=256, v_channels=1280)
    ids = torch.randint(6, 262, (batch, 2048), device=device)
    inputs = dict(inputs=ids, labels=ids)
  else:
    config = transformers.PerceiverConfig(
      num_latents=512,
      d_latents=1024,
      num_blocks=8,
      num_self_attends_per_block=6,
      num_self_attention_heads=8,
      num_cross_attention_heads=1,
      num_labels=1000,
    )
    inputs = dict(
      inputs=torch.randn(batch, 3, 224, 224, device=device),
      labels=torch.randint(1000, (batch,), device=device),
    )
  model = getattr(transformers, class_name)(config).to(device).train()
  optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
  compiled = torch.compile(model)

  def step():
    bfloat16 = torch.autocast(device, torch.bfloat16, dtype == 'bfloat16')
    with bfloat16:
      loss = compiled(**inputs).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    loss.item()  # waits

  seconds = median_seconds(step)
  if device == 'cpu':  # does not count its memory
    return dict(seconds=seconds)
  return dict(seconds=seconds, gib=torch.cuda.max_memory_allocated() / 2**30)


def row(name: str, seconds: float, **others: float) -> str:
  mfu = format(others['mfu'], '.0%') if 'mfu' in others else '–'
  gib = format(others['gib'], '.2f') if 'gib' in others else '–'
  rate = _BATCH_SIZE.value / seconds
  return f'| {name} | {rate:.2f} | {seconds:.4f} | {mfu} | {gib} |'


def main(argv):
  del argv
  config = runtime.CONFIG.value
  dtype = config.model.get('dtype') or 'float32'
  if _ONLY_PEER.value:
    print(json.dumps(peer(_PEER.value, dtype)))
    return
  runtime.initialize()
  print('| | examples/s | s a step | MFU | peak GiB |')
  print('|---|--:|--:|--:|--:|')
  print(row('ours', **ours(config, dtype)), flush=True)
  if _PEER.value:
    command = [sys.executable, '-m', 'benchmarks.train_step', *sys.argv[1:]]
    out = subprocess.run(
      [*command, '--only_peer'], check=True, stdout=subprocess.PIPE, text=True
    )
    figures = json.loads(out.stdout.splitlines()[-1])
    print(row(f'transformers, {_PEER.value}', **figures))


if __name__ == '__main__':
  flags.mark_flags_as_required(['config'])
  app.run(main, flags_parser=runtime.parse_flags)
