"""Sliding windows, sizes of all kinds, and the intensities' baseline."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from paca_vit.evaluators import intensity_lookup, segmentation
from train_lib import sharding, train_state

STATE = train_state.TrainState(jnp.int32(0), {}, {}, ())
NUM_CLASSES = 3


def logits_of(images):
  """Depends on the pixel and on the whole image that the model sees."""
  context = jnp.mean(images, axis=(1, 2), keepdims=True)
  return jnp.concatenate([images, context + 0 * images, images**2], axis=-1)


def images(height=12, width=20):
  shape = (2, height, width, 1)
  return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize('window', [(12, 20), (30, 20), (64, 64)])
def test_a_window_that_covers_the_image_is_the_whole_image(window):
  got = segmentation.sliding_logits(
    logits_of, images(), window, (5, 5), NUM_CLASSES
  )
  np.testing.assert_allclose(got, logits_of(images()), rtol=1e-6)


@pytest.mark.parametrize('window, stride', [((5, 8), (3, 6)), ((4, 4), (4, 4))])
def test_sliding_is_the_mean_over_the_windows_of_a_pixel(window, stride):
  x = images()
  sums = np.zeros((2, 12, 20, NUM_CLASSES))
  counts = np.zeros((12, 20, 1))
  top = 0
  while True:
    left = 0
    while True:
      i, j = min(top, 12 - window[0]), min(left, 20 - window[1])
      place = np.s_[:, i : i + window[0], j : j + window[1]]
      sums[place] += logits_of(x[place])
      counts[place[1:]] += 1
      if left + window[1] >= 20:
        break
      left += stride[1]
    if top + window[0] >= 12:
      break
    top += stride[0]
  got = segmentation.sliding_logits(logits_of, x, window, stride, NUM_CLASSES)
  np.testing.assert_allclose(got, sums / counts, atol=1e-5)


class ThresholdTask:
  """Class 0 below -0.5, 2 above 0.5, 1 between."""

  num_classes = NUM_CLASSES

  def predict(self, variables, batch):
    del variables
    x = batch['image'][..., 0]
    classes = (x > -0.5).astype(int) + (x > 0.5)
    return {'logits': jax.nn.one_hot(classes, NUM_CLASSES)}


def examples():
  rng = np.random.default_rng(0)
  for i in range(11):
    size = [(6, 9), (9, 6), (7, 7)][i % 3]
    labels = rng.integers(0, NUM_CLASSES, size)
    image = (labels - 1.0) + rng.normal(0, 0.4, size)
    labels[rng.random(size) < 0.2] = 255
    yield {
      'image': image[..., None].astype(np.float32),
      'label': labels.astype(np.int32),
    }


@pytest.mark.parametrize('num_devices', [1, 8])
@pytest.mark.parametrize('window', [None, (4, 5)])
def test_images_of_all_sizes_count_once(num_devices, window):
  mesh = jax.sharding.Mesh(jax.devices()[:num_devices], ('data',))
  evaluator = segmentation.SegmentationEvaluator(
    ThresholdTask(), list(examples()), mesh, window, window
  )
  got = evaluator.run(STATE)
  predictions, labels = [], []
  for x in examples():
    value = x['image'][..., 0].ravel()
    predictions.append((value > -0.5).astype(int) + (value > 0.5))
    labels.append(x['label'].ravel())
  predictions, labels = map(np.concatenate, (predictions, labels))
  counted = labels != 255
  hits = (predictions == labels) & counted
  ious = [
    (hits & (labels == c)).sum()
    / (counted & ((labels == c) | (predictions == c))).sum()
    for c in range(NUM_CLASSES)
  ]
  np.testing.assert_allclose(got['mean_iou'], np.mean(ious), rtol=1e-12)
  np.testing.assert_allclose(got['accuracy'], hits.sum() / counted.sum())


def test_labels_keep_their_own_size():
  def magnified():
    for x in examples():
      label = x['label'].repeat(2, axis=0).repeat(2, axis=1)
      yield x | {'label': label}

  mesh = sharding.make_mesh({'data': -1})
  results = [
    segmentation.SegmentationEvaluator(
      ThresholdTask(), list(source()), mesh, None, None
    ).run(STATE)
    for source in (examples, magnified)
  ]
  # One-hot logits, bilinearly doubled: each pixel's largest stays its own.
  assert results[0] == results[1]


def test_the_lookup_learns_the_best_class_of_an_intensity():
  train = [
    {
      'image': np.float32([[[0.0], [1.0], [1.0], [1.0]]]),
      'label': np.int32([[0, 1, 1, 2]]),
    }
  ]
  test = [
    {
      'image': np.float32([[[0.0], [1.0], [1.0]]]),
      'label': np.int32([[0, 1, 255]]),
    }
  ]
  lookup = intensity_lookup.IntensityLookup(train, test, NUM_CLASSES)
  assert lookup.run(STATE)['mean_iou'] == 1.0
  test[0]['label'][0, 2] = 2
  lookup = intensity_lookup.IntensityLookup(train, test, NUM_CLASSES)
  assert lookup.run(STATE)['mean_iou'] == pytest.approx((1 + 0.5 + 0) / 3)


def test_the_mesh_decides_only_how_many_go_together():
  batches = list(segmentation.same_size_batches(examples(), 4))
  assert {len(x) for x, _ in batches} == {4}
  assert sum(len(labels) for _, labels in batches) == 11
  assert {x.shape[1:] for x, _ in batches} == {
    (6, 9, 1),
    (9, 6, 1),
    (7, 7, 1),
  }
