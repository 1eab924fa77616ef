"""Video: frames are more patches, whose order only the positions tell."""

import jax
import numpy as np
import pytest

from configs.paca_vit import video as video_config
from paca_vit import video
from paca_vit.evaluators import linear_pixels
from tests import golden_paca


def make(num_frames=8, **options):
  config = video_config.get_config('tiny').model
  config.update(
    dict(
      channels=(8,),
      depths=(1,),
      num_heads=(2,),
      num_clusters=(4,),
      tubelet_frames=2,
      in_channels=6,
      position_grid=(4, 4, 4),
    )
    | options
  )
  model = video.make_video_classifier(config)
  clip = golden_paca.normal('clip', (2, num_frames, 16, 16, 3))
  shapes = jax.eval_shape(
    lambda: model.init(jax.random.key(0), clip, train=False)
  )
  return model, golden_paca.random_variables(shapes), clip


@pytest.fixture(scope='module')
def model_and_clip():
  model, variables, clip = make()

  @golden_paca.jit
  def run(variables, clip):
    return model.apply(variables, clip, train=False, return_features=True)

  return run, variables, clip


def with_positions(variables, change):
  params = variables['params']['classifier']
  block = params['backbone']['stage_1_block_0']
  block = block | {'positions': change(block['positions'])}
  backbone = params['backbone'] | {'stage_1_block_0': block}
  return {'params': {'classifier': params | {'backbone': backbone}}}


def test_only_positions_tell_the_order_of_tubelets(model_and_clip):
  run, variables, clip = model_and_clip
  order = [2, 0, 3, 1]
  frames = [2 * t + i for t in order for i in (0, 1)]
  logits, features = run(variables, clip)
  shuffled, _ = run(variables, clip[:, frames])
  assert np.abs(shuffled - logits).max() > 1e-3
  # Positions that move along: every patch is what it was.
  moved = with_positions(variables, lambda x: x[order])
  shuffled, shuffled_features = run(moved, clip[:, frames])
  np.testing.assert_allclose(shuffled, logits, atol=1e-5)
  maps, shuffled_maps = (
    features.cluster_maps(),
    shuffled_features.cluster_maps(),
  )
  np.testing.assert_allclose(
    maps['stage_1'][:, :, order], shuffled_maps['stage_1'], atol=1e-5
  )
  # Without positions in time there is no order.
  same = with_positions(variables, lambda x: 0 * x + x[:1])
  np.testing.assert_allclose(
    run(same, clip[:, frames])[0], run(same, clip)[0], atol=1e-5
  )
  # Inside a tubelet the convolutions tell it.
  swapped = clip[:, [1, 0, *range(2, 8)]]
  assert np.abs(run(same, swapped)[0] - run(same, clip)[0]).max() > 1e-3


def test_clusters_span_all_frames(model_and_clip):
  run, variables, clip = model_and_clip
  features = run(variables, clip)[1]
  weights = np.asarray(features.cluster_maps()['stage_1'])
  assert weights.shape == (2, 4, 4, 4, 4)  # B, M, T, H, W
  np.testing.assert_allclose(weights.sum(axis=(2, 3, 4)), 1, rtol=1e-5)
  shares = weights.sum(axis=(3, 4))
  assert shares.min() > 0.01 and shares.max() < 0.9
  # What the last frames show reaches the first ones' patches.
  other = clip.copy()
  other[0, 6:] = 0
  changed = np.abs(run(variables, other)[1].maps[0] - features.maps[0])
  assert changed[0, 0].max() > 1e-4 and changed[1].max() == 0


def test_one_tubelet_is_an_image():
  model, variables, clip = make(
    num_frames=1, tubelet_frames=1, in_channels=3, position_grid=(1, 4, 4)
  )
  backbone = model.classifier.backbone.clone(position_grid=(4, 4))
  image_model = model.classifier.clone(backbone=backbone)
  image_variables = {
    'params': with_positions(variables, lambda x: x[0])['params']['classifier']
  }
  want = golden_paca.jit(
    lambda x: image_model.apply(image_variables, x, train=False)
  )(clip[:, 0])
  got = golden_paca.jit(lambda x: model.apply(variables, x, train=False))(clip)
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_tubelets_join_the_channels_of_consecutive_frames():
  clip = golden_paca.normal('clip', (2, 6, 4, 5, 3))
  joined = video.tubelets(clip, 2)
  assert joined.shape == (2, 3, 4, 5, 6)
  np.testing.assert_array_equal(joined[..., :3], clip[:, ::2])
  np.testing.assert_array_equal(joined[..., 3:], clip[:, 1::2])
  with pytest.raises(ValueError, match='F a multiple of 4, found .2, 6, 4'):
    video.tubelets(clip, 4)


def test_mean_frame_tells_what_is_shown_and_no_order():
  rng = np.random.default_rng(0)
  films = rng.normal(size=(2, 3, 4, 1))

  def windows(num):
    shown = [f + 0.1 * rng.normal(size=f.shape) for f in films] * num
    frames = np.repeat(np.stack(shown), 2, axis=0)  # in order and shuffled
    return frames, np.tile([0, 1, 2, 3], num)

  baseline = linear_pixels.LinearPixels(windows(5), windows(8))
  assert baseline.run(None) == {'accuracy': 0.5}
  (train, labels), (test, test_labels) = windows(5), windows(8)
  baseline = linear_pixels.LinearPixels(
    (train, labels // 2), (test, test_labels // 2)
  )
  assert baseline.run(None) == {'accuracy': 1.0}
