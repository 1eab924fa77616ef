"""Flow of whole images: pooled metrics, tiles, baselines, pictures."""

import dataclasses
import types

import cv2
import jax
import numpy as np
import PIL.Image
import pytest

from configs.perceiver_io import optical_flow as config_lib
from perceiver_io.evaluators import optical_flow
from train_lib import evaluators, sharding

TILE = (8, 12)


def make_examples():
  """Pairs of other sizes and of fewer and fewer known pixels."""
  examples = []
  for i, (size, share) in enumerate((((5, 30), 0.9), ((21, 9), 0.4))):
    rng = np.random.default_rng(i)
    examples.append(
      {
        'frames': rng.uniform(-1, 1, (2, *size, 3)).astype('f'),
        'flow': (30 * rng.standard_normal((*size, 2))).astype('f'),
        'valid': (rng.random(size) < share).astype('f'),
      }
    )
  return examples


def colours_as_flow(frames):
  return 50 * frames[..., 0, :, :, :2]


@dataclasses.dataclass(frozen=True)
class ColoursTask:
  """A flow that depends on the first frame's own pixels alone."""

  def predict(self, variables, batch):
    assert batch['frames'].shape == (1, 2, *TILE, 3)
    return {'flow': variables['params'] * colours_as_flow(batch['frames'])}


def naive_metrics(method, examples):
  """Over the known pixels of all pairs, in float64."""
  errors, motions = [], []
  for example in examples:
    found = method(example['frames']).astype('d')
    for y, x in np.ndindex(example['valid'].shape):
      if example['valid'][y, x]:
        u, v = example['flow'][y, x].astype('d')
        errors.append(np.hypot(found[y, x, 0] - u, found[y, x, 1] - v))
        motions.append(np.hypot(u, v))
  errors, motions = np.array(errors), np.array(motions)
  return {
    'epe': errors.mean(),
    'epe_below_10': errors[motions < 10].mean(),
    'epe_10_to_40': errors[(motions >= 10) & (motions <= 40)].mean(),
    'epe_above_40': errors[motions > 40].mean(),
    'fl_all': np.mean((errors > 3) & (errors > 0.05 * motions)),
  }


def make_evaluator(folder, baselines, tiles=None, num_pictures=0):
  examples = make_examples()
  return optical_flow.OpticalFlowEvaluator(
    ColoursTask(),
    sharding.make_mesh({'data': 8}),
    examples,
    tiles=dict(tile_size=TILE, min_overlap=3, num_tiles=tiles),
    baselines=baselines,
    num_pictures=num_pictures,
    folder=folder,
  )


def state(step=7, params=1.0):
  return types.SimpleNamespace(step=step, eval_variables={'params': params})


@pytest.mark.parametrize('tiles', [None, (3, 4)])
def test_results_are_over_all_known_pixels_whatever_the_tiles(tiles, tmp_path):
  calls = []

  def half(frames):
    calls.append(frames)
    return 0.5 * colours_as_flow(frames)

  evaluator = make_evaluator(tmp_path, {'half': half}, tiles)
  found = evaluator.run(state())
  expected = naive_metrics(colours_as_flow, make_examples())
  assert expected['fl_all'] < 1 and len(set(expected.values())) == 5
  baseline = naive_metrics(half, make_examples())
  expected |= {f'half_{key}': baseline[key] for key in ('epe', 'fl_all')}
  assert found == pytest.approx(expected, rel=1e-5)
  # The state changes the model's results, while baselines are measured once.
  calls.clear()
  again = evaluator.run(state(params=0.5))
  assert not calls
  assert again['epe'] == pytest.approx(again['half_epe'], rel=1e-5)
  assert not any(tmp_path.iterdir())


def panels(picture, width):
  """The four tiles without margins and captions, a pixel a square of theirs."""
  large = [x[20:-2, 2:-2] for x in np.split(picture, 4, axis=1)]
  times = large[0].shape[1] // width
  assert width * times >= 160  # A caption fits.
  small = [x[::times, ::times] for x in large]
  for x, y in zip(large, small, strict=True):
    np.testing.assert_array_equal(x, np.kron(y, np.ones((times, times, 1))))
  return small


def test_pictures_show_frames_truth_and_flow(tmp_path):
  folder = tmp_path / 'flow'
  make_evaluator(folder, {}, num_pictures=5).run(state())
  examples = make_examples()
  assert {p.name for p in folder.iterdir()} == {
    '0000007_0.png',
    '0000007_1.png',
  }
  for i, example in enumerate(examples):
    picture = np.asarray(PIL.Image.open(folder / f'0000007_{i}.png'))
    width = example['frames'].shape[2]
    first, second, truth, flow = panels(picture, width)
    for panel, frame in zip((first, second), example['frames'], strict=True):
      assert np.abs(panel / 127.5 - 1 - frame).max() <= 1 / 127.5
    unknown = example['valid'] == 0
    assert not truth[unknown].any() and truth[~unknown].any(axis=-1).all()
    # The same colours mean the same motion.
    longest = np.linalg.norm(example['flow'][~unknown], axis=-1).max()
    known = example | {'flow': colours_as_flow(example['frames'])}
    same = optical_flow.draw(known, known['flow'])
    np.testing.assert_array_equal(
      *[x[~unknown] for x in panels(np.asarray(same), width)[2:]]
    )
    np.testing.assert_array_equal(
      flow,
      optical_flow.flow_io.colours(colours_as_flow(example['frames']), longest),
    )


@pytest.mark.parametrize('name', ['dis', 'farneback'])
def test_classical_methods_find_a_shift(name):
  """All goes 3 to the right and 2 up."""
  noise = np.random.default_rng(0).uniform(-1, 1, (120, 160, 3))
  frame = cv2.GaussianBlur(noise, (0, 0), 3)
  frame /= np.abs(frame).max()
  frames = np.stack([frame, np.roll(frame, (-2, 3), axis=(0, 1))])
  found = optical_flow.BASELINES[name](frames.astype('f'))
  assert found.shape == (120, 160, 2)
  middle = np.median(found[20:-20, 20:-20], axis=(0, 1))
  np.testing.assert_allclose(middle, [3, -2], atol=0.3)
  assert not optical_flow.BASELINES['zero'](frames).any()


def test_unknown_baselines_are_named(tmp_path):
  config = evaluators.sections(config_lib.get_config('tiny'))['test']
  config.baselines = ('zero', 'raft')
  with pytest.raises(ValueError, match=r"baselines: found \['raft'\]; .*dis"):
    optical_flow.make_evaluator(config, task=None, mesh=None, folder=tmp_path)


def test_the_config_s_evaluator_measures_its_data(tmp_path):
  """Zero flow errs by the mean motion of the synthetic pairs."""
  config = evaluators.sections(config_lib.get_config('tiny'))['test']
  config.update(baselines=('zero',), num_pictures=0)

  class Zero:
    def predict(self, variables, batch):
      return {'flow': 0 * batch['frames'][:, 0, ..., :2]}

  evaluator = optical_flow.make_evaluator(
    config,
    task=Zero(),
    mesh=jax.sharding.Mesh(jax.devices()[:1], ('data',)),
    folder=tmp_path,
  )
  found = evaluator.run(state())
  assert found['epe'] == pytest.approx(found['zero_epe'], rel=1e-6)
  source, module = optical_flow.pipeline.open_source(config.data)
  motions = []
  for raw in source:
    example = module.preprocess(
      raw, train=False, rng=None, **config.data.preprocess
    )
    motion = np.linalg.norm(example['flow'], axis=-1)
    motions.append(motion[example['valid'] > 0])
  expected = np.concatenate(motions).mean()
  assert found['epe'] == pytest.approx(expected, rel=1e-5)


def test_speeds_that_nothing_has_are_left_out():
  example = {
    'frames': np.zeros((2, 4, 4, 3), np.float32),
    'flow': np.full((4, 4, 2), 3, np.float32),
    'valid': np.ones((4, 4), np.float32),
  }
  found = optical_flow.measure(
    lambda frames: np.zeros((4, 4, 2)), iter([example])
  )
  assert set(found) == {'epe', 'epe_below_10', 'fl_all'}
