"""Shows what the clusters of a PaCa model attend to.

For each of a few images a picture: the image, then for each stage its arg-max
segmentation (which cluster weighs a patch most) and heat maps of the clusters
that win the most patches, with the share that they win. And for each stage how
many clusters win any patch, and how many are effectively in use: exp(entropy)
of the shares, 1 if one cluster takes all and M if all take the same.

Any task whose `predict` returns `cluster_maps`, {stage: [B, M, H, W]}, can be
shown; the images are those of the evaluator's data set, or of any folder:
  python eval.py ... --config.evals.clusters.image_folder=/path/to/images

Shapes: B batch, M clusters, H, W of a stage's map, N = H W patches.
"""

import pathlib
from typing import Any

import jax
import matplotlib
import ml_collections
import numpy as np
import PIL.Image
import PIL.ImageDraw
from jax.sharding import Mesh

from train_lib import sharding, writer
from train_lib.data import pipeline
from train_lib.task import Task
from train_lib.train_state import TrainState

NUM_HEAT_MAPS = 4
TILE = 128  # pixels of a picture's tiles
IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg')


def make_evaluator(
  config: ml_collections.ConfigDict, *, task: Task, mesh: Mesh, workdir: str
) -> 'ClusterMaps':
  """Reads data, image_folder ('' for the data set's images), num_images."""
  source, module = pipeline.open_source(config.data)
  if config.image_folder:
    examples = _folder_examples(
      config.image_folder, config.num_images, source[0]
    )
  else:
    # Spread over the data set, which may be sorted by class.
    rows = np.linspace(0, len(source) - 1, config.num_images).astype(int)
    examples = [source[row] for row in rows]
  examples = [
    module.preprocess(x, train=False, rng=None, **config.data.preprocess)
    for x in examples
  ]
  batch = {name: np.stack([x[name] for x in examples]) for name in examples[0]}
  batch['mask'] = np.ones(len(examples), np.float32)
  return ClusterMaps(task, batch, mesh, pathlib.Path(workdir) / 'clusters')


class ClusterMaps:
  """Writes `folder`/<step>_<image>.png."""

  def __init__(self, task: Task, batch: Any, mesh: Mesh, folder: pathlib.Path):
    # Few images and many devices: all compute the same.
    everywhere = sharding.replicated(mesh)
    self._batch = jax.device_put(batch, everywhere)
    self._images = batch['image']
    self._predict = jax.jit(task.predict, out_shardings=everywhere)
    self._folder = folder

  def run(self, state: TrainState) -> dict[str, float]:
    outputs = self._predict(state.eval_variables, self._batch)
    if not outputs.get('cluster_maps'):
      raise ValueError(
        'cluster_maps: the task predicts none; expected a PaCa model with '
        'num_clusters above 0 in some stage.'
      )
    maps = {k: np.asarray(v) for k, v in outputs['cluster_maps'].items()}
    if jax.process_index() == 0:
      self._folder.mkdir(parents=True, exist_ok=True)
      for i, image in enumerate(self._images):
        picture = draw(image, {name: x[i] for name, x in maps.items()})
        path = self._folder / f'{int(state.step):07d}_{i}.png'
        picture.save(path)
      writer.say(f'{len(self._images)} cluster maps in {self._folder}')
    results = {}
    for name, x in maps.items():
      won, effective = clusters_in_use(x)
      results[f'{name}_clusters'] = float(x.shape[1])
      results[f'{name}_clusters_that_win'] = won
      results[f'{name}_effective_clusters'] = effective
    return results


def clusters_in_use(assignment: np.ndarray) -> tuple[float, float]:
  """Counts clusters over images [B, M, H, W].

  Returns:
    How many win any patch, and exp(entropy) of the shares of patches won.
  """
  num_clusters = assignment.shape[1]
  winners = assignment.argmax(axis=1)
  shares = np.bincount(winners.ravel(), minlength=num_clusters) / winners.size
  won = shares[shares > 0]
  return float(len(won)), float(np.exp(-np.sum(won * np.log(won))))


def draw(image: np.ndarray, maps: dict[str, np.ndarray]) -> PIL.Image.Image:
  """One row a stage: image, segmentation, heat maps of the largest clusters.

  Args:
    image: [H, W, C] in any range, C 1 or 3.
    maps: stage -> assignment [M, h, w].
  """
  span = np.ptp(image) or 1.0
  shown = ((image - image.min()) / span * 255).astype(np.uint8)
  shown = np.broadcast_to(shown, shown.shape[:2] + (3,))
  # One colour a cluster; the golden angle keeps neighbours apart.
  hues = matplotlib.colormaps['hsv']
  rows = []
  for stage, assignment in maps.items():
    winners = assignment.argmax(axis=0)
    palette = hues(np.arange(len(assignment)) * 0.618034 % 1)[:, :3]
    segmentation = (palette[winners] * 255).astype(np.uint8)
    shares = np.bincount(winners.ravel(), minlength=len(assignment))
    plain = _tile(shown)
    tiles = [
      _captioned(plain, stage),
      _captioned(_tile(segmentation, PIL.Image.Resampling.NEAREST), 'arg max'),
    ]
    for cluster in np.argsort(-shares, kind='stable')[:NUM_HEAT_MAPS]:
      heat = assignment[cluster] / assignment[cluster].max()
      heat = matplotlib.colormaps['inferno'](heat)[:, :, :3]
      heat = _tile((heat * 255).astype(np.uint8))
      heat = (0.6 * heat + 0.4 * plain).astype(np.uint8)
      share = shares[cluster] / winners.size
      tiles.append(_captioned(heat, f'cluster {cluster}: {share:.0%}'))
    missing = NUM_HEAT_MAPS + 2 - len(tiles)
    tiles += [np.full_like(tiles[0], 255)] * missing
    rows.append(np.concatenate(tiles, axis=1))
  return PIL.Image.fromarray(np.concatenate(rows))


def _tile(
  pixels: np.ndarray, resampling=PIL.Image.Resampling.BICUBIC
) -> np.ndarray:
  picture = PIL.Image.fromarray(pixels)
  return np.asarray(picture.resize((TILE, TILE), resampling))


def _captioned(pixels: np.ndarray, caption: str) -> np.ndarray:
  picture = PIL.Image.new('RGB', (TILE + 4, TILE + 18), 'white')
  picture.paste(PIL.Image.fromarray(pixels), (2, 16))
  PIL.ImageDraw.Draw(picture).text((3, 3), caption, fill='black')
  return np.asarray(picture)


def _folder_examples(folder: str, num_images: int, like: dict) -> list[dict]:
  """Raw examples of the first images of a folder, in the form of `like`."""
  root = pathlib.Path(folder)
  paths = sorted(
    p for p in root.glob('*') if p.suffix.lower() in IMAGE_SUFFIXES
  )[:num_images]
  if not paths:
    raise ValueError(
      f'config.evals.<name>.image_folder: found no {IMAGE_SUFFIXES} in {root}.'
    )
  return [like | {'image': _read_like(p, like['image'])} for p in paths]


def _read_like(path: pathlib.Path, like: bytes | np.ndarray):
  if isinstance(like, bytes):  # The data set's own preprocessing decodes.
    return path.read_bytes()
  height, width, channels = like.shape
  picture = PIL.Image.open(path).convert('L' if channels == 1 else 'RGB')
  pixels = np.asarray(picture.resize((width, height)))
  return pixels.reshape(like.shape)
