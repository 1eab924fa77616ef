"""Depth: the loss and the metrics against plain loops; the scene's split."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.paca_vit import depth as depth_config
from data.depth import motorcycle, nyu_depth
from paca_vit import segmentation
from paca_vit.evaluators import row_means
from paca_vit.tasks import depth
from train_lib import task as task_lib


@dataclasses.dataclass(frozen=True)
class Fixed:
  """Stands for a model: logits are its only parameters."""

  def apply(self, variables, images, train, **_):
    outputs = segmentation.Outputs(variables['params']['logits'])
    return (outputs, {}) if train else outputs


def task(variance_focus=0.5):
  return depth.Depth(Fixed(), mean_depth=3.0, variance_focus=variance_focus)


def variables(size=3):
  rng = np.random.default_rng(1)
  logits = 0.3 * rng.standard_normal((size, 6, 8, 1))
  return {'params': {'logits': logits.astype(np.float32)}}


def batch(size=3):
  rng = np.random.default_rng(0)
  depths = rng.uniform(1, 6, (size, 6, 8))
  depths[rng.random(depths.shape) < 0.3] = 0
  return {
    'image': np.zeros((size, 6, 8, 3), np.float32),
    'depth': depths.astype(np.float32),
    'mask': np.ones(size, np.float32),
  }


def predicted():
  return 3.0 * np.exp(variables()['params']['logits'][..., 0].astype('d'))


@pytest.mark.parametrize('variance_focus', [0.0, 0.5, 1.0])
def test_loss_is_the_published_double_sum(variance_focus):
  data, guesses = batch(), predicted()
  want = []
  for guess, depths in zip(guesses, data['depth'].astype('d'), strict=True):
    d = np.log(guess[depths > 0]) - np.log(depths[depths > 0])
    double_sum = sum(a * b for a in d for b in d)
    want.append(np.mean(d**2) - variance_focus * double_sum / len(d) ** 2)
  loss, aux = task(variance_focus).loss(variables(), data, jax.random.key(0))
  np.testing.assert_allclose(loss, np.mean(want), rtol=1e-4)
  assert aux.weight == 3


def test_full_variance_focus_does_not_see_the_scale():
  data = batch()
  doubled = data | {'depth': 2 * data['depth']}
  for variance_focus, same in ((1.0, True), (0.5, False)):
    a, b = (
      float(task(variance_focus).loss(variables(), x, jax.random.key(0))[0])
      for x in (data, doubled)
    )
    assert (abs(a - b) < 1e-5) == same


def test_unknown_depth_and_padding_have_no_gradient():
  data = batch()
  data['mask'][2] = 0
  gradient = jax.grad(lambda v: task().loss(v, data, jax.random.key(0))[0])(
    variables()
  )['params']['logits'][..., 0]
  counted = (data['depth'] > 0) & (data['mask'] > 0)[:, None, None]
  assert np.all(gradient[~counted] == 0)
  assert np.all(gradient[counted] != 0)


def test_metrics_are_over_all_known_pixels():
  data = batch()
  known = data['depth'] > 0
  truth = data['depth'][known].astype('d')
  got = task().metrics(variables(), data)
  guesses = {'': predicted()[known], '_of_mean': np.full_like(truth, 3.0)}
  for suffix, guess in guesses.items():
    want = {
      'abs_rel': np.mean(np.abs(guess - truth) / truth),
      'rmse': np.sqrt(np.mean((guess - truth) ** 2)),
      'rmse_log': np.sqrt(np.mean(np.log(guess / truth) ** 2)),
      'delta_1.25': np.mean(np.maximum(guess / truth, truth / guess) < 1.25),
    }
    for name, value in want.items():
      np.testing.assert_allclose(
        got[name + suffix].compute(), value, rtol=1e-5, err_msg=name
      )
  parts = [
    task().metrics(variables(), data | {'mask': np.float32(mask)})
    for mask in ([1, 0, 0], [0, 1, 1])
  ]
  for name, metric in got.items():
    merged = parts[0][name].merge(parts[1][name]).compute()
    np.testing.assert_allclose(merged, metric.compute(), rtol=1e-5)


def test_model_must_have_one_output():
  config = depth_config.get_config()
  config.model.num_classes = 2
  with pytest.raises(ValueError, match='num_classes 1 .*found 2'):
    task_lib.make_task(config)


def test_strips_do_not_overlap_and_depth_is_plausible(tmp_path):
  pytest.importorskip('skimage')
  splits = {s: motorcycle.source(s, str(tmp_path)) for s in ('train', 'test')}
  assert [len(x) for x in splits.values()] == [6, 2]
  depths = [x['depth'] for part in splits.values() for x in part]
  known = np.stack(depths)[np.stack(depths) > 0]
  assert known.size > 0.85 * np.stack(depths).size
  assert 2.0 < known.min() < known.max() < 5.1
  out = motorcycle.preprocess(
    splits['train'][0],
    train=True,
    rng=np.random.default_rng(0),
    crop_size=(128, 64),
  )
  assert out['image'].shape == (128, 64, 3)
  assert out['depth'].shape == (128, 64)


def test_depth_follows_the_calibration():
  got = motorcycle.to_depth(np.float32([10.0, 60.0, np.inf]))
  # Z = baseline * focal length / (disparity + offset).
  want = [0.193001 * 994.978 / (d + 31.086) for d in (10, 60)] + [0]
  np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize('module', [motorcycle, nyu_depth])
def test_image_and_depth_are_cropped_and_flipped_alike(module):
  example = module.synthetic('train', 1)[0]
  height, width = np.asarray(example['depth']).shape
  # Red is the pixel's row, green its column, depth their sum.
  rows, columns = np.mgrid[:height, :width] / 4
  image = np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8)
  example = {'image': image, 'depth': ((rows + columns) / 50).astype('f') + 1}
  out = module.preprocess(
    example, train=True, rng=np.random.default_rng(0), crop_size=(96, 80)
  )
  # The jitter is affine in the colours: depth stays a linear function of them.
  x = out['image'].reshape(-1, 3)[:, :2]
  x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
  y = out['depth'].ravel()
  weights = np.linalg.lstsq(x, y, rcond=None)[0]
  assert np.abs(x @ weights - y).max() < 0.1
  assert jnp.asarray(out['depth']).dtype == jnp.float32


def test_the_last_channel_is_the_row_of_the_whole_photograph():
  example = motorcycle.synthetic('train', 1)[0]
  options = dict(crop_size=(96, 80), rows=True)
  whole = motorcycle.preprocess(example, train=False, rng=None, **options)
  assert whole['image'].shape == (500, 92, 4)
  np.testing.assert_allclose(
    whole['image'][..., 3], np.linspace(-1, 1, 500)[:, None] + np.zeros(92)
  )
  # Synthetic depth falls linearly from 5 m at the top to 2 m at the bottom.
  rng = np.random.default_rng(3)
  crop = motorcycle.preprocess(example, train=True, rng=rng, **options)
  known = crop['depth'] > 0
  heights = crop['image'][..., 3][known]
  np.testing.assert_allclose(
    crop['depth'][known], 3.5 - 1.5 * heights, atol=1e-5
  )


def test_row_means_are_exact_where_rows_are_constant():
  test = np.repeat(np.float32([[2.0], [4.0], [6.0]]), 5, axis=1)[None]
  train = test.copy()
  train[0, 0, :3] = 0  # unknown
  found = row_means.RowMeans(train, test).run(None)
  assert found['rmse'] == found['abs_rel'] == found['rmse_log'] == 0
  assert found['delta_1.25'] == 1
  # Nothing is known of the last row: 2 and 4 m were seen as often, so 3 m.
  train = np.repeat(np.float32([[2.0], [4.0], [0.0]]), 5, axis=1)[None]
  found = row_means.RowMeans(train, test).run(None)
  np.testing.assert_allclose(found['rmse'], np.sqrt(3**2 / 3), rtol=1e-6)
  np.testing.assert_allclose(found['abs_rel'], 0.5 / 3, rtol=1e-6)
  want = np.log(2) / np.sqrt(3)
  np.testing.assert_allclose(found['rmse_log'], want, rtol=1e-6)


def test_nyu_counts_eigens_crop_up_to_ten_metres():
  depths = np.full((480, 640), 3, np.float16)
  depths[100, 100] = 11
  example = {'image': np.zeros((480, 640, 3), np.uint8), 'depth': depths}
  out = nyu_depth.preprocess(
    example, train=False, rng=None, crop_size=(416, 544)
  )
  assert (out['depth'] > 0).sum() == (471 - 45) * (601 - 41) - 1
