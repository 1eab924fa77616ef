"""Films and pictures of reconstructions are of what the model returned."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from configs.perceiver_io import kinetics as config_lib
from data.video import big_buck_bunny, kinetics
from perceiver_io.evaluators import reconstructions
from train_lib import evaluators

media = pytest.importorskip('data.video.media')

FPS, SIZE, NUM_FRAMES = 25, 31, 8
NUM_SAMPLES = 4_800 * NUM_FRAMES // FPS


def make_clip(seed):
  """Eight greys of large patches and a tone: float32 in [0, 1] and [-1, 1]."""
  rng = np.random.default_rng(seed)
  image = rng.uniform(0, 1, (NUM_FRAMES, 4, 4, 1)).astype('f')
  image = image.repeat(8, axis=1).repeat(8, axis=2)[:, :SIZE, :SIZE]
  time = np.arange(NUM_SAMPLES) / (NUM_SAMPLES * FPS / NUM_FRAMES)
  tone = 0.5 * np.sin(2 * np.pi * (400 + 100 * seed) * time)
  return image.repeat(3, axis=-1), tone.astype('f')


class Negative:
  """Stands for a task: dark is light, and sound is half as loud."""

  def predict(self, variables, batch):
    gain = variables['params']['gain']
    return {
      'image': 1 - batch['image'],
      'audio': gain * batch['audio'][..., 0],
      'label': jnp.zeros((len(batch['mask']), 3)),
    }


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  """The folder, and the clips that reconstructions were written of."""
  folder = tmp_path_factory.mktemp('run') / 'reconstructions'
  clips = [make_clip(i) for i in range(2)]
  image, audio = (np.stack(x) for x in zip(*clips, strict=True))
  batch = {
    'image': image,
    'audio': audio[..., None],
    'label': np.zeros(2, np.int32),
    'mask': np.ones(2, np.float32),
  }
  mesh = jax.make_mesh(
    (8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,)
  )
  evaluator = reconstructions.Reconstructions(
    Negative(), batch, mesh, folder, FPS
  )
  variables = {'params': {'gain': jnp.float32(0.5)}}
  state = types.SimpleNamespace(step=30, eval_variables=variables)
  assert evaluator.run(state) == {}
  return folder, clips


def test_every_clip_has_a_film_and_a_picture(written):
  folder, _ = written
  assert sorted(p.name for p in folder.iterdir()) == [
    f'0000030_{i}.{kind}' for i in range(2) for kind in ('mp4', 'png')
  ]


def test_films_have_both_pictures_and_the_new_sound(written):
  import av

  folder, clips = written
  for i, (image, audio) in enumerate(clips):
    path = str(folder / f'0000030_{i}.mp4')
    with av.open(path) as file:
      assert file.streams.video[0].average_rate == FPS
      frames = [
        x.to_ndarray(format='rgb24') for x in file.decode(file.streams.video[0])
      ]
    # H.264 needs even sides: a row and no column more than 31 x 62.
    film = np.stack(frames) / 255
    assert film.shape == (NUM_FRAMES, SIZE + 1, 2 * SIZE, 3)
    left, right = film[:, :SIZE, :SIZE], film[:, :SIZE, SIZE:]
    assert np.abs(left - image).mean() < 0.03
    assert np.abs(right - (1 - image)).mean() < 0.03
    sound = media.read_audio(path, rate=4_800) / 2**15
    # AAC ends with a whole frame, and takes some time to begin.
    assert len(sound) >= NUM_SAMPLES
    middle = slice(300, NUM_SAMPLES - 300)
    error = sound[middle] - 0.5 * audio[middle]
    assert error.std() < 0.1 * (0.5 * audio[middle]).std()


def test_pictures_are_strips_of_frames_above_waves(written):
  folder, clips = written
  times = [0, 1, 3, 4, 6, 7]
  for i, (image, _) in enumerate(clips):
    picture = np.asarray(PIL.Image.open(folder / f'0000030_{i}.png'))
    width, wave = SIZE * 6, reconstructions.WAVE_HEIGHT
    assert picture.shape == (2 * SIZE + 2 * wave, width, 3)
    for column, t in enumerate(times):
      place = np.s_[:, column * SIZE : (column + 1) * SIZE]
      above, below = picture[:SIZE][place], picture[SIZE : 2 * SIZE][place]
      np.testing.assert_array_equal(above, np.round(image[t] * 255))
      np.testing.assert_array_equal(below, np.round((1 - image[t]) * 255))
    # Half as loud is half as high; black and blue on white.
    heights = []
    for top, colour in ((2 * SIZE, [0, 0, 0]), (2 * SIZE + wave, [0, 0, 255])):
      drawn = np.all(picture[top : top + wave] == colour, axis=-1)
      rows = np.flatnonzero(drawn.any(axis=1))
      assert drawn.any(axis=0).all()
      heights.append(np.ptp(rows))
    assert heights[0] == pytest.approx(wave - 2, abs=2)
    assert heights[1] == pytest.approx(heights[0] / 2, abs=2)


def test_the_config_chooses_clips_from_first_to_last(tmp_path):
  config = config_lib.get_config('tiny')
  films = evaluators.sections(config)['films']
  films.num_clips = 3
  evaluator = reconstructions.make_evaluator(
    films,
    task=Negative(),
    mesh=jax.sharding.Mesh(jax.devices()[:1], ('data',)),
    folder=tmp_path / 'reconstructions',
  )
  variables = {'params': {'gain': jnp.float32(1)}}
  evaluator.run(types.SimpleNamespace(step=1, eval_variables=variables))
  raw = big_buck_bunny.synthetic('train')
  for i, row in enumerate((0, 7, 15)):
    example = kinetics.preprocess(
      raw[row], train=False, rng=None, **films.data.preprocess
    )
    path = tmp_path / 'reconstructions' / f'0000001_{i}.png'
    first = np.asarray(PIL.Image.open(path))[:16, :16]
    np.testing.assert_array_equal(first, np.round(example['image'][0] * 255))
