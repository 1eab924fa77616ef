"""Preprocessing of flow, and pairs made of photographs."""

import math

import numpy as np
import PIL.Image
import pytest

from configs.perceiver_io import optical_flow as configs
from data.flow import flow, geometry, layers, photo_flow
from tests.flow_pairs import photometric_error

SIZE = (40, 56)
AUGMENTATION = configs.get_config('patch3').data.preprocess.augment.to_dict()


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return str(tmp_path_factory.mktemp('tfds'))


# Preprocessing


def moved(x, y, seed=0, size=SIZE):
  """A smooth picture that moves by whole pixels, as a raw example."""
  rng = np.random.default_rng(seed)
  noise = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), np.uint8)
  image = PIL.Image.fromarray(noise).resize(
    size[::-1], PIL.Image.Resampling.BICUBIC
  )
  frame = np.asarray(image)
  return {
    'frame1': frame,
    'frame2': np.roll(frame, (y, x), axis=(0, 1)),
    'flow': np.tile(np.float32([x, y]), (*size, 1)),
    'valid': np.ones(size, np.uint8),
  }


def as_arrays(example):
  frames = np.stack([example['frame1'], example['frame2']]).astype(np.float64)
  return frames, example['flow'], example['valid']


def test_evaluation_only_normalises():
  example = moved(3, -2)
  out = flow.preprocess(example, train=False, rng=None)
  np.testing.assert_allclose(
    out['frames'][1], example['frame2'] / 127.5 - 1, atol=1e-6
  )
  np.testing.assert_array_equal(out['flow'], example['flow'])
  assert {k: x.dtype for k, x in out.items()} == dict.fromkeys(out, np.float32)


def test_flow_shrinks_with_its_frames():
  example = moved(6, -3, size=(60, 90))
  out = flow.preprocess(example, train=False, rng=None, scale=1 / 3)
  assert out['frames'].shape == (2, 20, 30, 3)
  np.testing.assert_allclose(out['flow'], np.tile([2.0, -1.0], (20, 30, 1)))
  error = photometric_error(out['frames'], out['flow'], out['valid'])
  assert error < 0.2 * np.abs(out['frames'][0] - out['frames'][1]).mean()


def test_crops_are_of_one_window_and_named_if_too_large():
  example = moved(1, 1)
  y, x = np.mgrid[: SIZE[0], : SIZE[1]]
  example['flow'] = np.stack([x, y], axis=-1).astype(np.float32)
  origins = set()
  for seed in range(20):
    out = flow.random_crop(example, np.random.default_rng(seed), (10, 12))
    left, top = out['flow'][0, 0].astype(int)
    origins.add((top, left))
    window = np.s_[top : top + 10, left : left + 12]
    np.testing.assert_array_equal(out['frame1'], example['frame1'][window])
    np.testing.assert_array_equal(out['frame2'], example['frame2'][window])
  assert len(origins) > 10
  with pytest.raises(ValueError, match=r'size: found \(41, 50\).* 40 x 56'):
    flow.random_crop(example, np.random.default_rng(0), (41, 50))


@pytest.mark.parametrize('seed', range(6))
def test_augmented_flow_is_still_the_motion(seed):
  """Scaled, stretched and mirrored, frame 2 is where the flow says."""
  options = AUGMENTATION | dict(
    brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, erase_prob=0.0
  )
  options |= dict(scale_prob=1.0, stretch_prob=1.0, flip_prob=(0.5, 0.5))
  example = moved(4, -3, seed)
  out = flow.Augmentation(**options)(
    example, np.random.default_rng(seed), (20, 28)
  )
  assert out['valid'].shape != SIZE
  frames, motion, valid = as_arrays(out)
  still = np.abs(frames[0] - frames[1]).mean()
  assert photometric_error(frames, motion, valid) < 0.25 * still


@pytest.mark.parametrize('axis', [0, 1])
def test_two_mirrors_are_none(axis):
  example = moved(4, -3)
  twice = flow.flip(flow.flip(example, axis), axis)
  for name in example:
    np.testing.assert_array_equal(twice[name], example[name])


def test_no_severity_is_no_augmentation():
  example = moved(4, -3)
  augment = flow.Augmentation(**AUGMENTATION | dict(severity=0.0))
  out = augment(example, np.random.default_rng(0), SIZE)
  for name in example:
    difference = np.abs(out[name].astype(float) - example[name])
    assert difference.max() <= 8  # 8 bits of hue, saturation and value


def test_colours_change_alike_or_apart():
  options = AUGMENTATION | dict(
    erase_prob=0.0, scale_prob=0.0, flip_prob=(0.0, 0.0)
  )
  for prob, same in ((0.0, True), (1.0, False)):
    augment = flow.Augmentation(**options | dict(asymmetric_prob=prob))
    example = moved(0, 0)
    out = augment(example, np.random.default_rng(1), SIZE)
    assert np.array_equal(out['frame1'], out['frame2']) == same
    assert not np.array_equal(out['frame1'], example['frame1'])


def test_erased_boxes_have_the_mean_colour_of_frame_2():
  options = {k: 0.0 for k in AUGMENTATION if k.endswith('prob')}
  options = (
    AUGMENTATION
    | options
    | dict(
      severity=1.0, erase_prob=1.0, erase_sides=(8, 10), flip_prob=(0.0, 0.0)
    )
  )
  options |= dict(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
  example = moved(0, 0)
  out = flow.Augmentation(**options)(example, np.random.default_rng(0), SIZE)
  changed = np.any(
    np.abs(out['frame2'].astype(int) - out['frame1']) > 4, axis=-1
  )
  assert 20 < changed.sum() <= 2 * 9 * 9
  mean = out['frame2'][changed].mean(axis=0)
  np.testing.assert_allclose(mean, example['frame2'].mean((0, 1)), atol=3)


# Photographs


def pair(seed, train=True, **options):
  options = dict(size=SIZE, max_motion=5.0, max_cutouts=3) | options
  source = photo_flow.synthetic('train')
  rng = np.random.default_rng(seed) if train else None
  return photo_flow.preprocess(source[seed], train=train, rng=rng, **options)


@pytest.mark.parametrize('seed', range(8))
def test_composed_pairs_move_as_their_flow_says(seed):
  out = pair(seed)
  frames, motion, valid = out['frames'], out['flow'], out['valid']
  still = np.abs(frames[0] - frames[1])[valid > 0].mean()
  # Pixels at the edges of cut-outs mix two layers.
  assert photometric_error(frames, motion, valid) < max(0.25 * still, 0.01)
  assert 0.3 < valid.mean() <= 1 and np.isfinite(motion).all()
  assert np.linalg.norm(motion, axis=-1).max() < 1.5 * 5.0


def test_points_that_leave_or_are_hidden_are_not_valid():
  """A still background, a square before it that moves four to the right."""
  still = layers.Layer(
    texture=np.full((8, 8, 3), 100, np.uint8),
    placement=np.float64([[1, 0, 0], [0, 1, 0]]),
    polygon=None,
    motion=np.float64([[1, 0, 0], [0, 1, 0]]),
    bend=np.zeros((1, 5)),
  )
  square = layers.Layer(
    texture=np.full((8, 8, 3), 200, np.uint8),
    placement=still.placement,
    polygon=np.float64([[2.5, 2.5], [6.5, 2.5], [6.5, 6.5], [2.5, 6.5]]),
    motion=np.float64([[1, 0, 4], [0, 1, 0]]),
    bend=np.zeros((1, 5)),
  )
  out = layers.compose([still, square], (10, 10))
  first, second = np.zeros((2, 10, 10), bool)
  first[3:7, 3:7], second[3:7, 7:] = True, True
  np.testing.assert_array_equal(out['frame1'][..., 0] == 200, first)
  np.testing.assert_array_equal(out['frame2'][..., 0] == 200, second)
  expected = np.where(first[..., None], [4.0, 0.0], 0)
  np.testing.assert_allclose(out['flow'], expected, atol=1e-12)
  hidden = second & ~first
  leaves = first & (np.arange(10) + 4 > 9)
  np.testing.assert_array_equal(out['valid'] == 0, hidden | leaves)


def test_bent_layers_are_where_their_flow_says():
  """The point at p + flow(p) of frame 2 is the layer's point at p."""
  layer = photo_flow.draw_layer(
    np.random.default_rng(3),
    photo_flow.synthetic('train')[0]['photographs'],
    SIZE,
    5.0,
    cut_out=True,
  )
  assert np.abs(layer.bend[:, :2]).max() > 0.01
  points = np.random.default_rng(0).uniform(0, 50, (100, 2))
  ends = points + layer.flow(points)
  np.testing.assert_allclose(
    layer.from_frame2(ends), layer.from_frame1(points), atol=1e-9
  )


def test_pairs_like_stereo_move_to_the_left_what_is_nearer_by_more():
  draw = np.random.default_rng(1)
  photographs = photo_flow.synthetic('train')[0]['photographs']
  drawn = [
    photo_flow.draw_layer(draw, photographs, SIZE, 5.0, cut_out=i > 0)
    for i in range(4)
  ]
  middles = [
    layer.polygon.mean(axis=0) if layer.polygon is not None else [32, 24]
    for layer in drawn
  ]
  stereo = layers.as_stereo(drawn, (48, 64))
  moved = [
    geometry.affine(layer.motion, middle) - middle
    for layer, middle in zip(stereo, middles, strict=True)
  ]
  x, y = np.array(moved).T
  assert (np.diff(x) < 0).all() and (x < 0).all()
  np.testing.assert_allclose(y, 0, atol=1e-9)
  before = [
    np.linalg.norm(geometry.affine(layer.motion, middle) - middle)
    for layer, middle in zip(drawn, middles, strict=True)
  ]
  np.testing.assert_allclose(-x, sorted(before))
  out = pair(2, stereo_share=1.0)
  frames, motion, valid = out['frames'], out['flow'], out['valid']
  np.testing.assert_allclose(motion[..., 1], 0, atol=1e-9)
  assert motion[..., 0].mean() < -0.3 and motion[..., 0].std() > 0.1
  still = np.abs(frames[0] - frames[1])[valid > 0].mean()
  assert photometric_error(frames, motion, valid) < max(0.25 * still, 0.01)


def test_polygons_against_matplotlib():
  from matplotlib.path import Path

  rng = np.random.default_rng(0)
  points = rng.uniform(-1, 1, (500, 2))
  for num_vertices in (3, 5, 9):
    angles = np.sort(rng.uniform(0, 2 * math.pi, num_vertices))
    polygon = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    polygon *= rng.uniform(0.2, 1, (num_vertices, 1))
    layer = layers.Layer(None, None, polygon, None, None)
    inside = Path(polygon).contains_points(points)
    np.testing.assert_array_equal(layer.covers(points), inside)


def test_textures_go_on_as_in_a_mirror():
  image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
  mirrored = np.pad(image, ((4, 4), (5, 5), (0, 0)), mode='reflect')
  y, x = np.mgrid[-4:9, -5:11].astype(np.float64)
  found = geometry.bilinear(image, np.stack([x, y], axis=-1))
  np.testing.assert_allclose(found, mirrored, atol=1e-9)
  half = geometry.bilinear(image, np.array([2.5, 1.0]))
  np.testing.assert_allclose(half, image[1, 2:4].mean(axis=0))


def test_evaluation_pairs_never_change_and_training_ones_do():
  for name, x in pair(0, train=False).items():
    np.testing.assert_array_equal(x, pair(0, train=False)[name])
  assert not np.array_equal(pair(5)['frames'], pair(6)['frames'])
  first, second = pair(0, train=False), pair(1, train=False)
  assert not np.array_equal(first['frames'], second['frames'])


def test_photographs_of_the_test_split_are_in_no_training_pair(data_dir):
  train, test = (
    photo_flow.source(split, data_dir) for split in ('train', 'test')
  )
  photographs = [x[0]['photographs'] for x in (train, test)]
  assert [len(x) for x in photographs] == [10, 3]
  names = [{t[0].tobytes() for t in x} for x in photographs]
  assert not names[0] & names[1]
  assert min(t.shape[0] for x in photographs for p in x for t in p) >= 64
  out = photo_flow.preprocess(
    test[0], train=False, rng=None, size=SIZE, max_motion=3.0, max_cutouts=1
  )
  assert out['frames'].std() > 0.05
