"""RoIAlign and non-maximum suppression beside torchvision's, in one run.

RoIAlign: 1,000 boxes on an 800 x 1344 image's four maps of 256 channels, a grid
of 7 x 7, float32: forward, and the gradient of the maps. Half of the boxes are
small, as proposals are. Suppression: five groups of 2,000 boxes at 0.7. Both
are in this process, on as many threads, and take turns; the times are of single
passes, the ratio is of medians. What they return agrees, or it fails. Prints a
Markdown table.

  taskset -c 0,1 python -m benchmarks.detection_ops

Needs torch and torchvision.
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torchvision
from absl import app, flags

from perceiver_paca.ops import nms, roi_align

_THREADS = flags.DEFINE_integer('threads', 2, 'Threads of torch.')
_PASSES = flags.DEFINE_integer('passes', 7, 'Timed passes of each.')

STRIDES = (4, 8, 16, 32)
HEIGHT, WIDTH, CHANNELS, CELLS = 800, 1344, 256, 7


def random_boxes(rng, count, smallest, largest):
  """[count, 4] inside of the image; sides log-uniform in between."""
  sides = np.exp(rng.uniform(np.log(smallest), np.log(largest), count))
  ratio = np.exp(rng.normal(0, 0.4, count))
  sides = np.stack([sides * ratio, sides / ratio], axis=1)
  middles = rng.uniform(0, [WIDTH, HEIGHT], (count, 2))
  boxes = np.concatenate([middles - sides / 2, middles + sides / 2], axis=1)
  return np.clip(boxes, 0, [WIDTH, HEIGHT] * 2).astype(np.float32)


def roi_aligns(rng):
  """(ours, theirs, how to compare) forward, and with the maps' gradients."""
  boxes = random_boxes(rng, 1000, 16, 600)
  maps = [
    rng.standard_normal(
      (1, HEIGHT // s, WIDTH // s, CHANNELS), dtype=np.float32
    )
    for s in STRIDES
  ]
  weights = rng.standard_normal(
    (len(boxes), CELLS, CELLS, CHANNELS), dtype=np.float32
  )
  levels = np.asarray(roi_align.pyramid_level(jnp.asarray(boxes), len(maps)))

  def read(maps):
    return roi_align.roi_align(maps, boxes[None], CELLS, STRIDES)[0]

  our_maps = [jnp.asarray(x) for x in maps]
  forward = jax.jit(read)
  backward = jax.jit(lambda maps, w: jax.vjp(read, maps)[1](w)[0])
  our_weights = jnp.asarray(weights)

  # Theirs are [B, C, h, w], and boxes have the image's number before them.
  their_maps = [
    torch.tensor(x).permute(0, 3, 1, 2).contiguous().requires_grad_()
    for x in maps
  ]
  of_level = [torch.tensor(np.flatnonzero(levels == i)) for i in range(4)]
  rois = torch.tensor(np.pad(boxes, ((0, 0), (1, 0))))
  their_weights = torch.tensor(weights).permute(0, 3, 1, 2).contiguous()

  def their_read():
    out = torch.zeros(len(rois), CHANNELS, CELLS, CELLS)
    parts = [
      torchvision.ops.roi_align(
        x, rois[index], CELLS, 1 / stride, sampling_ratio=0, aligned=True
      )
      for x, stride, index in zip(their_maps, STRIDES, of_level, strict=True)
    ]
    return out.index_put((torch.cat(of_level),), torch.cat(parts))

  def their_forward():
    with torch.no_grad():
      return [their_read().permute(0, 2, 3, 1)]

  graph = their_read()

  def their_backward():
    gradients = torch.autograd.grad(
      graph, their_maps, their_weights, retain_graph=True
    )
    return [x.permute(0, 2, 3, 1) for x in gradients]

  return {
    'RoIAlign, forward': (lambda: [forward(our_maps)], their_forward),
    'RoIAlign, backward': (
      lambda: backward(our_maps, our_weights),
      their_backward,
    ),
  }


def suppressions(rng):
  """(ours, theirs): the kept of each group, -1 for what is none."""
  boxes = np.stack(
    [random_boxes(rng, 2000, s / 2, s * 2) for s in (32, 64, 128, 256, 512)]
  )
  scores = rng.random(boxes.shape[:2], dtype=np.float32)
  keep = functools.partial(nms.nms, threshold=0.7, max_kept=2000)

  @jax.jit
  def ours(boxes, scores):
    kept, is_kept = jax.vmap(keep)(boxes, scores)
    return jnp.where(is_kept, kept, -1)

  our_args = jnp.asarray(boxes), jnp.asarray(scores)
  their_args = list(zip(torch.tensor(boxes), torch.tensor(scores), strict=True))

  def theirs():
    kept = [torchvision.ops.nms(b, s, 0.7) for b, s in their_args]
    return [
      torch.nn.functional.pad(x, (0, 2000 - len(x)), value=-1) for x in kept
    ]

  return {'NMS, 5 x 2,000': (lambda: list(ours(*our_args)), theirs)}


def main(_) -> None:
  torch.set_num_threads(_THREADS.value)
  rng = np.random.default_rng(0)
  print('| | ours, ms | torchvision, ms | times as long |')
  print('|---|---|---|---|')
  for name, pair in (roi_aligns(rng) | suppressions(rng)).items():
    ours, theirs = (run() for run in pair)
    for a, b in zip(ours, theirs, strict=True):
      np.testing.assert_allclose(a, b, rtol=0, atol=1e-3)
    seconds = [], []
    for _ in range(_PASSES.value):
      for times, run in zip(seconds, pair, strict=True):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    a, b = (1e3 * np.median(times) for times in seconds)
    print(f'| {name} | {a:.0f} | {b:.0f} | {a / b:.2f} |', flush=True)


if __name__ == '__main__':
  app.run(main)
