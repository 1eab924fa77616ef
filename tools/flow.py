"""Optical flow between two images, from a trained model.

  python -m tools.flow --config=configs/perceiver_io/optical_flow.py:demo \
    --workdir=runs/flow --frame1=left.png --frame2=right.png --output=flow

writes flow.flo (Middlebury's format) and flow.png (hue is direction, saturation
length). Images of any size: they are cut into tiles of the size that the model
was trained with. A model follows motions as long as those it was trained on;
--scale=0.5 halves both images first, and the flow is that of the small ones.
"""

import pathlib

import jax
import numpy as np
import PIL.Image
from absl import app, flags

from data import image_files
from data.flow import flow as flow_data
from data.flow import flow_io
from perceiver_io import tiling
from tools.output import OUTPUT
from train_lib import runtime, sharding, trained

FRAME1 = flags.DEFINE_string('frame1', None, 'The first image.')
FRAME2 = flags.DEFINE_string('frame2', None, 'The second, of the same size.')
SCALE = flags.DEFINE_float('scale', 1.0, 'Resize both images before.')


def read_frames(first: str, second: str, scale: float) -> np.ndarray:
  """Two images as a task takes them: float32 [2, H, W, 3] in [-1, 1].

  Raises:
    ValueError: they are no images, or of different sizes.
  """
  frames = []
  for path in (first, second):
    frames.append(np.asarray(image_files.read_image(path)))
  if frames[0].shape != frames[1].shape:
    raise ValueError(
      f'{second}: found {frames[1].shape[:2]} pixels, expected the '
      f'{frames[0].shape[:2]} of {first}.'
    )
  size = frames[0].shape[:2]
  example = {
    'frame1': frames[0],
    'frame2': frames[1],
    'flow': np.zeros((*size, 2), np.float32),
    'valid': np.zeros(size, np.uint8),
  }
  return flow_data.preprocess(example, train=False, rng=None, scale=scale)[
    'frames'
  ]


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  runtime.initialize()
  config = runtime.CONFIG.value
  try:
    frames = read_frames(FRAME1.value, FRAME2.value, SCALE.value)
    batch = {
      'frames': np.zeros((1, 2, *config.model.image_size, 3), np.float32)
    }
    mesh = sharding.make_mesh(config.mesh)
    task, state = trained.load(
      config, runtime.WORKDIR.value, mesh, batch, trained.BEST.value
    )
  except (ValueError, FileNotFoundError) as e:
    raise SystemExit(str(e)) from e
  predict = jax.jit(task.predict)
  flow = tiling.predict_tiled(
    lambda tile: predict(state.eval_variables, {'frames': tile})['flow'],
    frames,
    config.model.image_size,
  )
  output = pathlib.Path(OUTPUT.value)
  output.parent.mkdir(parents=True, exist_ok=True)
  for suffix, data in (('.flo', flow_io.encode_flo(flow)), ('.png', None)):
    path = output.with_name(output.name + suffix)
    if data is None:
      PIL.Image.fromarray(flow_io.colours(flow)).save(path)
    else:
      path.write_bytes(data)
    print(path)
  length = np.linalg.norm(flow, axis=-1)
  print(f'motion: {length.mean():.2f} pixels, at most {length.max():.2f}')


if __name__ == '__main__':
  flags.mark_flags_as_required(
    ['config', 'workdir', 'frame1', 'frame2', 'output']
  )
  runtime.run(main)
