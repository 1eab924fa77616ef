"""Optical flow of whole images, by tiles, beside what needs no training.

Sintel, KITTI and the like: every pair at its own resolution, predicted tile by
tile (`perceiver_io.tiling`). The same is measured once of no motion at all
(`zero`) and of OpenCV's classical methods, and pictures are drawn.
"""

import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ml_collections
import numpy as np
import PIL.Image
from jax.sharding import Mesh

from data.flow import flow_io
from perceiver_io import tiling
from perceiver_io.tasks import optical_flow
from train_lib import metrics, pictures, pipeline, sharding
from train_lib.task import Task
from train_lib.train_state import TrainState

TITLE = 'Optical flow'
COMMENT = (
  'The hue says where a pixel goes, the saturation how far; both flows in the '
  'same colours, black where the truth is unknown.'
)

# From frames [2, H, W, 3] in [-1, 1] to flow [H, W, 2].
Method = Callable[[np.ndarray], np.ndarray]


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'OpticalFlowEvaluator':
  """Reads data; tile_size, min_overlap and num_tiles (see `tiling`); baselines,
  names of BASELINES; num_pictures."""
  unknown = set(config.baselines) - set(BASELINES)
  if unknown:
    raise ValueError(
      f'config.evals.<name>.baselines: found {sorted(unknown)}; expected some '
      f'of {sorted(BASELINES)}.'
    )
  return OpticalFlowEvaluator(
    task,
    mesh,
    pipeline.eval_examples(config.data),
    tiles=dict(
      tile_size=config.tile_size,
      min_overlap=config.min_overlap,
      num_tiles=config.num_tiles,
    ),
    baselines={name: BASELINES[name] for name in config.baselines},
    num_pictures=config.num_pictures,
    folder=folder,
  )


class OpticalFlowEvaluator:
  """Measures, and writes `folder`/<step>_<pair>.png.

  Args:
    task: for optical flow.
    mesh: where it predicts; there are few tiles, so that all devices compute
      the same.
    examples: `frames`, `flow` and `valid` of any sizes.
    tiles: the last arguments of `tiling.predict_tiled`.
    baselines: name -> method; measured at the first call.
    num_pictures: of the first pairs.
    folder: of the pictures.
  """

  def __init__(
    self,
    task: Task,
    mesh: Mesh,
    examples: Sequence[dict[str, np.ndarray]],
    *,
    tiles: dict[str, Any],
    baselines: dict[str, Method],
    num_pictures: int,
    folder: pathlib.Path,
  ):
    self._examples, self._tiles = examples, tiles
    self._predict = sharding.jit_everywhere(mesh, task.predict)
    self._baselines, self._measured = baselines, {}
    self._num_pictures = min(num_pictures, len(examples))
    self._album = pictures.Album(folder, TITLE, COMMENT)

  def run(self, state: TrainState) -> dict[str, float]:
    variables = state.eval_variables

    def predict(frames):
      return self._predict(variables, {'frames': frames})['flow']

    def tiled(frames):
      return tiling.predict_tiled(predict, frames, **self._tiles)

    if not self._measured:
      for name, method in self._baselines.items():
        measured = measure(method, self._all())
        for key in ('epe', 'fl_all'):
          self._measured[f'{name}_{key}'] = measured[key]
    results = measure(tiled, self._all())
    shown = []
    for i in range(self._num_pictures):
      example = self._examples[i]
      flow = tiled(example['frames'])
      shown.append((draw(example, flow), f'Pair {i}'))
    self._album.write(int(state.step), shown)
    return results | self._measured

  def _all(self) -> Iterator[dict[str, np.ndarray]]:
    return (self._examples[i] for i in range(len(self._examples)))


def measure(
  method: Method, examples: Iterator[dict[str, np.ndarray]]
) -> dict[str, float]:
  """The metrics of `tasks.optical_flow` over examples of any sizes.

  Those of which there are no pixels are left out.
  """
  total = None
  for example in examples:
    found = optical_flow.flow_metrics(
      method(example['frames']), example['flow'], example['valid']
    )
    total = metrics.merged(total, found)
  return {name: x.compute() for name, x in total.items() if x.weight}


def draw(example: dict[str, np.ndarray], flow: np.ndarray) -> PIL.Image.Image:
  """Both frames, true flow (black where unknown) and flow, side by side."""
  frames = np.round((example['frames'] + 1) * 127.5).astype(np.uint8)
  known = example['valid'] > 0
  # Both in the same colours.
  longest = np.linalg.norm(example['flow'][known], axis=-1).max(initial=0)
  truth = flow_io.colours(example['flow'], longest) * known[..., None]
  tiles = (*frames, truth, flow_io.colours(flow, longest))
  captions = 'first frame', 'second frame', 'true flow', 'predicted'
  return pictures.grid(
    [
      [
        pictures.captioned(pictures.enlarged(x.astype(np.uint8)), caption)
        for x, caption in zip(tiles, captions, strict=True)
      ]
    ]
  )


def _zero(frames: np.ndarray) -> np.ndarray:
  return np.zeros((*frames.shape[1:3], 2), np.float32)


def _dis(frames: np.ndarray) -> np.ndarray:
  """Dense inverse search (Kroeger et al. 2016)."""
  cv2 = flow_io.import_cv2()
  method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
  return method.calc(*_grey(frames), None)


def _farneback(frames: np.ndarray) -> np.ndarray:
  """Polynomial expansion (Farneback 2003), with OpenCV's example's numbers."""
  return flow_io.import_cv2().calcOpticalFlowFarneback(
    *_grey(frames),
    None,
    pyr_scale=0.5,
    levels=3,
    winsize=15,
    iterations=3,
    poly_n=5,
    poly_sigma=1.2,
    flags=0,
  )


def _grey(frames: np.ndarray) -> list[np.ndarray]:
  pixels = np.round((frames + 1) * 127.5).astype(np.uint8)
  cv2 = flow_io.import_cv2()
  return [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in pixels]


BASELINES: dict[str, Method] = {
  'zero': _zero,
  'dis': _dis,
  'farneback': _farneback,
}
