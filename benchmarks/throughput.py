"""Speed and memory of a config's training step or prediction on one device.

  python -m benchmarks.throughput \
    --config=configs/perceiver_io/masked_language_modelling.py \
    --batch_size=128 --config.model.dtype=bfloat16 --config.optim.name=adamw

Prints a Markdown row as soon as it has it: examples a second, seconds each
(median of three runs of several), the model's operations as a share of what a
large matrix product reaches on the same device in the same precision (MFU), the
peak of device memory, and the seconds before the first result (compilation).
Inputs are one made-up batch that is on the device already. A batch that does
not fit is halved. --mode=predict times the forward pass.

--peer measures in its place a model in PyTorch under torch.compile, in the same
precision, trained by fused AdamW: a class of `transformers`
(PerceiverForMaskedLM for masked_language_modelling:base_bytes, and for ImageNet
PerceiverForImageClassificationFourier, ...Learned and ...ConvProcessing) or
`timm:<name>`, an image classifier of timm. Needs the extra `parity`; on a GPU,
PyTorch for it.
"""

import pathlib
import time

import numpy as np
from absl import flags

from train_lib import runtime

_BATCH_SIZE = flags.DEFINE_integer('batch_size', 1, 'Examples.', lower_bound=1)
_STEPS = flags.DEFINE_integer('steps', 10, 'In each timed run.', lower_bound=1)
_MODE = flags.DEFINE_enum(
  'mode', 'train', ['train', 'predict'], 'What to time.'
)
_LABEL = flags.DEFINE_string('label', 'ours', 'What the row is called.')
_PEER = flags.DEFINE_string('peer', None, 'A class of transformers, or timm:…')
_TRACE = flags.DEFINE_string('trace', None, 'Folder for a profile of 3 steps.')
_HEADER = flags.DEFINE_bool('header', True, "Print the table's head.")

_WARM_UP, _RUNS = 3, 3
HEADER = (
  '| | batch | examples/s | ms | MFU | peak GiB | first result, s |\n'
  '|---|--:|--:|--:|--:|--:|--:|'
)


def time_runs(step, wait) -> dict[str, float]:
  """Times `step()`, which need not wait for its result as `wait()` does.

  Returns:
    `first`, the seconds of the first call, and `seconds` of later ones: the
    median over runs.
  """
  began = time.perf_counter()
  step()
  wait()
  first = time.perf_counter() - began
  for _ in range(_WARM_UP - 1):
    step()
  wait()
  seconds = []
  for _ in range(_RUNS):
    began = time.perf_counter()
    for _ in range(_STEPS.value):
      step()
    wait()
    seconds.append((time.perf_counter() - began) / _STEPS.value)
  return dict(first=first, seconds=float(np.median(seconds)))


def product_flops(dtype: str) -> float:
  """Operations a second of a large matrix product on this device."""
  import jax

  size = 1024 if jax.default_backend() == 'cpu' else 8192
  x, y = jax.random.normal(jax.random.key(0), (2, size, size), dtype)
  product, last = jax.jit(lambda x, y: x @ y), None

  def step():
    nonlocal last
    last = product(x, y)

  seconds = time_runs(step, lambda: last.block_until_ready())['seconds']
  return 2 * size**3 / seconds


def ours(config, dtype: str, batch_size: int) -> dict[str, float]:
  """What `time_runs` measures, MFU and GiB.

  Args:
    config: of the run.
    dtype: what the model computes in.
    batch_size: examples that the model sees.
  """
  import jax

  from benchmarks import one_device
  from train_lib import cost

  ceiling = product_flops(dtype)
  # Some tasks make one example of two.
  mixed = config.task.get('mixing') and config.task.module.startswith(
    'perceiver_io'
  )
  run, train_step = one_device.make_train_step(
    config, batch_size * (2 if mixed else 1)
  )
  began = time.perf_counter()
  batch = next(run.batches)
  state, result = run.init(), None
  if _MODE.value == 'train':
    fn, args = train_step, (run.state, batch)

    def step():
      nonlocal state, result
      state, result = program(state, batch)
  else:
    state = state.eval_variables
    fn = jax.jit(lambda *args: _outputs(run.task.predict(*args)))
    args = run.state.eval_variables, batch

    def step():
      nonlocal result
      result = program(state, batch)

  program = fn.lower(*args).compile()
  compilation = time.perf_counter() - began
  figures = time_runs(step, lambda: jax.block_until_ready(result))
  figures['first'] += compilation
  memory = jax.local_devices()[0].memory_stats()
  if memory:
    peak = memory['peak_bytes_in_use']
  else:  # A CPU does not count: by XLA's analysis.
    analysis = program.memory_analysis()
    peak = analysis.argument_size_in_bytes + analysis.temp_size_in_bytes
  if _TRACE.value:
    with jax.profiler.trace(_TRACE.value):
      for _ in range(3):
        step()
      jax.block_until_ready(result)
    # Which kernel is which layer, for benchmarks.kernels.
    text = pathlib.Path(_TRACE.value, 'program.txt')
    text.write_text(program.as_text())
  flops = 2 * cost.multiply_adds(fn, *args)
  mfu = flops / figures['seconds'] / ceiling
  return figures | dict(mfu=mfu, gib=peak / 2**30)


def _outputs(predicted):
  """Without what only pictures need."""
  kept = {k: v for k, v in predicted.items() if k in ('logits', 'flow')}
  return kept or predicted


def make_peer(name: str, batch_size: int, device: str, dtype: str):
  """Returns a model and what it is called with, labels among it."""
  import torch

  def labels(num_classes):
    return torch.randint(num_classes, (batch_size,), device=device)

  images = torch.randn(batch_size, 3, 224, 224, device=device)
  if name.startswith('timm:'):
    import timm

    model = timm.create_model(name.removeprefix('timm:'), pretrained=False)
    model = model.to(device, memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last)
    inputs = dict(x=images, labels=labels(1000))
  else:
    import transformers

    sizes = dict(
      num_latents=512,
      d_latents=1024,
      num_blocks=8,
      num_self_attends_per_block=6,
      num_self_attention_heads=8,
      num_cross_attention_heads=1,
      num_labels=1000,
    )
    inputs = dict(inputs=images, labels=labels(1000))
    if name == 'PerceiverForMaskedLM':
      sizes = dict(qk_channels=256, v_channels=1280)
      ids = torch.randint(6, 262, (batch_size, 2048), device=device)
      inputs = dict(inputs=ids, labels=ids)
    config = transformers.PerceiverConfig(**sizes)
    model = getattr(transformers, name)(config).to(device)
  if _MODE.value == 'predict':
    if dtype == 'bfloat16':
      model = model.bfloat16()
    floats = {k: v for k, v in inputs.items() if v.is_floating_point()}
    inputs |= {
      k: v.to(next(model.parameters()).dtype) for k, v in floats.items()
    }
  return model, inputs


def peer(name: str, dtype: str, batch_size: int) -> dict[str, float]:
  """What `time_runs` measures, and GiB, of a model in PyTorch."""
  import torch

  torch.manual_seed(0)
  torch.set_float32_matmul_precision('high')  # as JAX has it on GPUs
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  model, inputs = make_peer(name, batch_size, device, dtype)
  labels = inputs.pop('labels')
  compiled = torch.compile(model)
  is_timm = name.startswith('timm:')
  if _MODE.value == 'predict':
    model.eval()

    def step():
      with torch.inference_mode():
        compiled(**inputs)
  else:
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step():
      with torch.autocast(device, torch.bfloat16, dtype == 'bfloat16'):
        if is_timm:
          loss = torch.nn.functional.cross_entropy(compiled(**inputs), labels)
        else:
          loss = compiled(**inputs, labels=labels).loss
      loss.backward()
      optimizer.step()
      optimizer.zero_grad()

  on_gpu = device == 'cuda'
  figures = time_runs(step, torch.cuda.synchronize if on_gpu else lambda: None)
  if on_gpu:  # A CPU does not count its memory.
    figures['gib'] = torch.cuda.max_memory_allocated() / 2**30
  return figures


def halving(measure, *args) -> dict[str, float]:
  """Figures of the largest of batch_size, batch_size / 2, ... that fits."""
  batch_size = _BATCH_SIZE.value
  while True:
    try:
      return measure(*args, batch_size) | dict(batch=batch_size)
    except Exception as e:  # JAX and PyTorch each have their own.
      text = f'{type(e).__name__}: {e}'
      full = 'RESOURCE_EXHAUSTED' in text or 'OutOfMemory' in text
      if not full or batch_size == 1:
        raise
    batch_size //= 2


def row(name: str, batch: int, seconds: float, first: float, **others) -> str:
  mfu = format(others['mfu'], '.0%') if 'mfu' in others else '–'
  gib = format(others['gib'], '.2f') if 'gib' in others else '–'
  return (
    f'| {name} | {batch} | {batch / seconds:.1f} | {1000 * seconds:.2f} '
    f'| {mfu} | {gib} | {first:.0f} |'
  )


def main(argv):
  del argv
  config = runtime.CONFIG.value
  dtype = config.model.get('dtype') or 'float32'
  if _HEADER.value:
    print(HEADER)
  if _PEER.value:
    figures = halving(peer, _PEER.value, dtype)
    print(row(f'{_PEER.value}, torch.compile', **figures), flush=True)
    return
  runtime.initialize()
  print(row(_LABEL.value, **halving(ours, config, dtype)), flush=True)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config'])
  runtime.run(main)
