"""PaCa against full attention at high resolution: memory, operations, time.

Prints for PaCa-ViT-Tiny and for the same backbone whose patches attend to all
patches, at each image size: the peak of the temporary arrays of the loss and
its gradient for one image, by XLA's analysis on this platform (programs are
compiled, not run), the forward pass's multiply-adds, and with --time the CPU
seconds that one takes. Of full attention with all logits in memory and in
chunks, which never holds them.

  python -m benchmarks.high_resolution --sizes=512,1024
"""

import time

import jax
import jax.numpy as jnp
from absl import app, flags

from configs.paca_vit import models
from paca_vit import classifier
from train_lib import cost, losses

VARIANT = flags.DEFINE_string('variant', 'tiny_p2cconv_100_0', 'Of models.py.')
SIZES = flags.DEFINE_list('sizes', ['512', '1024'], 'Sides in pixels.')
TIME = flags.DEFINE_integer('time', 0, 'Side at which to time; 0: not.')
PATCH = 4  # pixels of the first stage's patches
# name: (whether patches attend to clusters, implementation of attention)
MODELS = {
  'PaCa': (True, 'plain'),
  'full, logits in memory': (False, 'plain'),
  'full, in chunks': (False, 'chunked'),
}
# The analysis is of the buffers, not of the code.
QUICK = {'xla_backend_optimization_level': 0}


def make_model(clustered: bool, implementation: str) -> classifier.PacaViT:
  config = models.model(VARIANT.value)
  config.drop_path_rate = 0.0
  config.block.implementation = implementation
  if not clustered:
    config.num_clusters = (0,) * len(config.channels)
  return classifier.make_classifier(config)


def arguments(model: classifier.PacaViT, size: int):
  """Variables and one image, as shapes and types."""
  image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  small = jnp.zeros((1, 32, 32, 3))
  variables = jax.eval_shape(
    lambda: model.init(jax.random.key(0), small, train=False)
  )
  return variables, image


def gradient_memory(model: classifier.PacaViT, size: int) -> int:
  """Bytes of temporaries of the loss and its gradient."""

  def loss(variables, image):
    logits = model.apply(variables, image, train=False)
    return losses.softmax_cross_entropy(logits, jnp.zeros(1, int)).mean()

  step = jax.jit(jax.value_and_grad(loss), compiler_options=QUICK)
  program = step.lower(*arguments(model, size)).compile()
  return program.memory_analysis().temp_size_in_bytes


def forward(model: classifier.PacaViT):
  return lambda variables, image: model.apply(variables, image, train=False)


def forward_seconds(model: classifier.PacaViT, size: int) -> float:
  """CPU seconds, of all cores together: a busy machine tells them, too."""
  args = jax.tree.map(
    lambda x: jnp.zeros(x.shape, x.dtype), arguments(model, size)
  )
  program = jax.jit(forward(model)).lower(*args).compile()
  began = time.process_time()
  jax.block_until_ready(program(*args))
  return time.process_time() - began


def main(_) -> None:
  sizes = [int(size) for size in SIZES.value]
  print(f'{VARIANT.value}, one image, float32, {jax.default_backend()}')
  print(f'{"":24}{"size":>6}{"patches":>9}{"ratio":>7}', end='')
  print(f'{"MiB":>11}{"ratio":>7}{"GMACs":>9}{"ratio":>7}', flush=True)
  for name, options in MODELS.items():
    model = make_model(*options)
    rows = []
    for size in sizes:
      memory = gradient_memory(model, size) / 2**20
      macs = cost.multiply_adds(forward(model), *arguments(model, size)) / 1e9
      rows.append(((size // PATCH) ** 2, memory, macs))
      ratios = [a / b for a, b in zip(rows[-1], rows[0], strict=True)]
      print(f'{name:24}{size:6}{rows[-1][0]:9,}{ratios[0]:7.2f}', end='')
      print(f'{memory:11,.1f}{ratios[1]:7.2f}', end='')
      print(f'{macs:9.1f}{ratios[2]:7.2f}', flush=True)
  if TIME.value:
    for name, options in MODELS.items():
      seconds = forward_seconds(make_model(*options), TIME.value)
      print(f'{name}: {seconds:.1f} CPU seconds at {TIME.value}', flush=True)


if __name__ == '__main__':
  app.run(main)
