"""The program for flow, from two files of images to a .flo and a picture."""

import os
import subprocess
import sys

import jax
import numpy as np
import PIL.Image
import pytest

from configs.perceiver_io import optical_flow as config_lib
from data.flow import flow_io
from perceiver_io import tiling
from tools import flow as program
from train_lib import checkpoint, setup

SIZE = (67, 51)  # A tile of `tiny` is 48 x 64: higher, and less wide.


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A run's folder with a checkpoint, its task and its state."""
  config = config_lib.get_config('tiny')
  frames = np.zeros((1, 2, *config.model.image_size, 3), np.float32)
  made = setup.make_setup(config, batch={'frames': frames})
  rng = np.random.default_rng(0)
  state = made.init()
  state = state.replace(  # New models say that nothing moves.
    params=jax.tree.map(
      lambda p: p + 0.5 * rng.standard_normal(p.shape).astype('f'),
      state.params,
    )
  )
  folder = tmp_path_factory.mktemp('run')
  checkpoints = checkpoint.Checkpoints(str(folder), 1)
  checkpoints.save(state, {'next_batch': 0})
  checkpoints.close()
  return folder, made.task, state


def write_image(path, seed, size=SIZE):
  pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
  PIL.Image.fromarray(pixels).save(path)
  return pixels


def start(folder, *frames, output, flags=()):
  return subprocess.run(
    [
      *(sys.executable, '-m', 'tools.flow'),
      '--config=configs/perceiver_io/optical_flow.py:tiny',
      f'--workdir={folder}',
      *(f'--frame{i}={path}' for i, path in enumerate(frames, 1)),
      f'--output={output}',
      *flags,
    ],
    env={**os.environ, 'PYTHONPATH': '.'},
    capture_output=True,
    text=True,
    timeout=300,
  )


@pytest.mark.full
def test_two_images_of_an_odd_size(run, tmp_path):
  folder, task, state = run
  paths = tmp_path / 'a.png', tmp_path / 'b.png'
  images = [write_image(path, i) for i, path in enumerate(paths)]
  output = tmp_path / 'new' / 'flow.v1'
  result = start(folder, *paths, output=output)
  assert result.returncode == 0, result.stderr
  flow, valid = flow_io.decode_flo(
    output.with_name('flow.v1.flo').read_bytes(), 'flow.v1.flo'
  )
  assert flow.shape == (*SIZE, 2) and valid.all()
  predict = jax.jit(task.predict)
  expected = tiling.predict_tiled(
    lambda tile: predict(state.eval_variables, {'frames': tile})['flow'],
    np.stack(images).astype('f') / 127.5 - 1,
    (48, 64),
  )
  assert np.ptp(expected) > 1e-2
  np.testing.assert_allclose(flow, expected, rtol=1e-4, atol=1e-3)
  picture = np.asarray(PIL.Image.open(output.with_name('flow.v1.png')))
  np.testing.assert_array_equal(picture, flow_io.colours(flow))
  length = np.linalg.norm(flow, axis=-1)
  assert f'motion: {length.mean():.2f} pixels' in result.stdout


@pytest.mark.full
def test_two_sizes_end_with_a_sentence(run, tmp_path):
  paths = tmp_path / 'a.png', tmp_path / 'b.png'
  write_image(paths[0], 0)
  write_image(paths[1], 1, (SIZE[0], SIZE[1] + 1))
  result = start(run[0], *paths, output=tmp_path / 'flow')
  assert result.returncode == 1
  assert 'b.png: found (67, 52) pixels, expected the (67, 51)' in result.stderr
  assert 'Traceback' not in result.stderr
  assert not list(tmp_path.glob('flow*'))


def test_what_is_no_image_is_named(tmp_path):
  good, bad = str(tmp_path / 'a.png'), str(tmp_path / 'b.png')
  write_image(good, 0)
  with pytest.raises(ValueError, match=r'b\.png: .*expected an image'):
    program.read_frames(good, bad, 1.0)
  with open(good, 'rb') as f:
    data = f.read()
  for broken in (b'', b'no image', data[: len(data) // 2]):
    with open(bad, 'wb') as f:
      f.write(broken)
    with pytest.raises(ValueError, match=r'b\.png: .*expected an image'):
      program.read_frames(good, bad, 1.0)


def test_scale_and_kinds_of_pictures(tmp_path):
  """Grey, palettes and transparency are colours; half the size is half."""
  level = np.full(SIZE, 200, np.uint8)
  grey = PIL.Image.fromarray(level)
  paths = [str(tmp_path / f'{i}.png') for i in range(2)]
  for kinds in (('L', 'P'), ('RGBA', 'RGB')):
    for path, kind in zip(paths, kinds, strict=True):
      grey.convert(kind).save(path)
    frames = program.read_frames(*paths, 1.0)
    assert frames.dtype == np.float32 and frames.shape == (2, *SIZE, 3)
    np.testing.assert_allclose(frames, 200 / 127.5 - 1, atol=1e-6)
  half = program.read_frames(*paths, 0.5)
  assert half.shape == (2, 34, 26, 3)
