"""Flow of users' images: any size, any kind, folders, scales."""

import jax
import numpy as np
import PIL.Image
import pytest

import predict
from configs.perceiver_io import optical_flow as config_lib
from data.flow import films, flow_io
from perceiver_io import tiling
from perceiver_io.evaluators import flow_predictions
from tests.exported_runs import make_run
from tests.test_predict import run_program
from train_lib import run_files, sharding, trained

SIZE = (67, 51)  # A tile of `tiny` is 48 x 64: higher, and less wide.


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """The folder of a run with random weights, its task and its state."""
  folder = make_run(
    tmp_path_factory.mktemp('runs') / 'run', config_lib.get_config('tiny')
  )
  config = run_files.read_config(folder)
  mesh = sharding.make_mesh(config.mesh)
  frames = np.zeros((1, 2, *config.model.image_size, 3), np.float32)
  return folder, *trained.load(config, folder, mesh, {'frames': frames})


def write_image(path, seed, size=SIZE):
  pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
  PIL.Image.fromarray(pixels).save(path)
  return pixels


@pytest.mark.full
def test_images_of_an_odd_size(run, tmp_path):
  """Three frames are two pairs, each as by tiles one after the other."""
  folder, task, state = run
  paths = [tmp_path / name for name in ('a.png', 'b.png', 'c.png')]
  images = [write_image(path, i) for i, path in enumerate(paths)]
  predictor = predict.load(folder)
  inputs, wrong = predictor.expand([str(tmp_path)])
  assert not wrong and [str(x) for x in inputs] == [str(x) for x in paths[:2]]
  found = predictor(inputs)
  forward = jax.jit(task.predict)
  for i, prediction in enumerate(found):
    expected = tiling.predict_tiled(
      lambda tile: forward(state.eval_variables, {'frames': tile})['flow'],
      np.stack(images[i : i + 2]).astype('f') / 127.5 - 1,
      (48, 64),
    )
    assert np.ptp(expected) > 1e-2
    flow, valid = flow_io.decode_flo(prediction.files['.flo'], '')
    assert valid.all()
    np.testing.assert_allclose(flow, expected, rtol=1e-3, atol=2e-3)
    picture = np.asarray(prediction.files['.png'])
    np.testing.assert_array_equal(picture, flow_io.colours(flow))
    length = np.linalg.norm(flow, axis=-1)
    values = prediction.values
    assert values['mean_motion'] == pytest.approx(length.mean(), abs=1e-3)
    assert values['longest_motion'] == pytest.approx(length.max(), abs=1e-3)


def test_what_is_no_pair_is_said(run, tmp_path):
  paths = tmp_path / 'a.png', tmp_path / 'b.png'
  write_image(paths[0], 0)
  predictor = predict.load(run[0])
  assert predictor.expand([str(paths[0])]) == (
    [],
    [f'{paths[0]}: expected a second image, found one.'],
  )
  assert (
    'expected two images or more' in predictor.expand([str(tmp_path)])[1][0]
  )
  write_image(paths[1], 1, (SIZE[0], SIZE[1] + 1))
  (wrong,) = predictor([paths])
  assert 'one size, found 51 x 67 and 52 x 67 pixels' in wrong.error
  paths[1].write_bytes(paths[0].read_bytes()[:500])
  (wrong,) = predictor([paths])
  assert 'b.png' in wrong.error


@pytest.mark.full
def test_a_film_is_its_frames(run, tmp_path):
  media = pytest.importorskip('data.video.media')
  rng = np.random.default_rng(0)
  coarse = rng.integers(0, 256, (4, 8, 10, 3), dtype=np.uint8)
  frames = coarse.repeat(8, axis=1).repeat(8, axis=2)
  path = tmp_path / 'new' / 'film.mp4'
  path.parent.mkdir()
  media.write_video(str(path), frames, fps=10)
  output = tmp_path / 'motion'
  run_program(run[0], path, output=str(output))
  names = [f'film_{i:04d}' for i in range(3)]
  assert sorted(x.name for x in output.iterdir()) == sorted(
    [f'{x}.{kind}' for x in names for kind in ('flo', 'png')]
    + ['film.mp4', 'predictions.jsonl']
  )
  shown = list(media.read_frames(path, fps=10, size=None))
  predictor = predict.load(run[0])
  expected = predictor([tuple(shown[1:3])])[0].files['.flo']
  found, _ = flow_io.decode_flo((output / 'film_0001.flo').read_bytes(), '')
  np.testing.assert_allclose(
    found, flow_io.decode_flo(expected, '')[0], rtol=1e-3, atol=1e-3
  )
  motion = list(media.read_frames(output / 'film.mp4', fps=10, size=None))
  assert len(motion) == 3 and motion[0].shape == (64, 160, 3)
  assert abs(motion[1][:, :80].astype(int) - shown[1]).mean() < 8


def test_films_that_cannot_be_used(run, tmp_path):
  media = pytest.importorskip('data.video.media')
  frame = np.zeros((16, 16, 3), np.uint8)
  for name, count in (('one.mp4', 1), ('a/film.mp4', 2), ('b/film.mp4', 2)):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    media.write_video(str(tmp_path / name), [frame] * count, fps=25)
  (tmp_path / 'half.mp4').write_bytes(b'half')
  names = ('one.mp4', 'half.mp4', 'a/film.mp4', 'b/film.mp4')
  _, wrong = predict.load(run[0]).expand([str(tmp_path / x) for x in names])
  assert 'one.mp4: expected two frames or more' in wrong[0]
  assert 'half.mp4: expected video or sound' in wrong[1]
  assert 'b/film.mp4: expected films of different names' in wrong[2]


def test_a_films_frames_in_any_order(tmp_path):
  media = pytest.importorskip('data.video.media')
  levels = np.arange(40, dtype=np.uint8) * 6
  frames = np.broadcast_to(levels[:, None, None, None], (40, 16, 16, 3))
  media.write_video(str(tmp_path / 'a.mp4'), frames, fps=25)
  film = films.Film(tmp_path / 'a.mp4')
  assert film.num_frames == 40 and film.rate == 25
  for i in (0, 1, 39, 3, 5, 4, 38):
    assert abs(film.frame(i).mean() - levels[i]) < 4


@pytest.mark.parametrize(
  'options, message',
  [
    ({'scale': '0'}, 'scale: expected a number above 0'),
    ({'scale': 'half'}, "scale: expected float, found 'half'"),
    ({'scales': '1'}, r"found 'scales'; expected one of \['scale'\]"),
  ],
)
def test_options_that_are_wrong(run, options, message):
  with pytest.raises(ValueError, match=message):
    predict.load(run[0], **options)


def test_a_scale_is_undone_in_the_flow(tmp_path):
  """Images at half their size: a motion of 3 there is one of 6."""
  kind = flow_predictions.Flows((48, 64), 0.5)
  pixels = np.zeros((40, 60, 3), np.uint8)
  frames = kind.example((pixels, pixels))['frames']
  assert frames.shape == (2, 20, 30, 3)
  found = np.broadcast_to(np.float32([3, -1]), (20, 30, 2))
  values, files, _ = kind.result((pixels, pixels), found)
  flow, _ = flow_io.decode_flo(files['.flo'], '')
  assert flow.shape == (40, 60, 2)
  np.testing.assert_allclose(flow, np.broadcast_to([6, -2], (40, 60, 2)))
  assert values['mean_motion'] == pytest.approx(40**0.5, abs=1e-3)


def test_kinds_of_pictures(tmp_path):
  """Grey, palettes and transparency are colours."""
  grey = PIL.Image.fromarray(np.full(SIZE, 200, np.uint8))
  paths = [tmp_path / f'{i}.png' for i in range(2)]
  kind = flow_predictions.Flows((48, 64), 1.0)
  for kinds in (('L', 'P'), ('RGBA', 'RGB')):
    for path, mode in zip(paths, kinds, strict=True):
      grey.convert(mode).save(path)
    frames = kind.example(paths)['frames']
    assert frames.dtype == np.float32 and frames.shape == (2, *SIZE, 3)
    np.testing.assert_allclose(frames, 200 / 127.5 - 1, atol=1e-6)
