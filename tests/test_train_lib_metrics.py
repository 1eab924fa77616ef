"""A mean is exact however the examples are batched and padded."""

import jax.numpy as jnp
import numpy as np
import pytest

from train_lib import metrics


@pytest.mark.parametrize('batch_size', [1, 3, 7, 10])
def test_mean_does_not_depend_on_the_batch_size(batch_size):
  values = np.random.default_rng(0).standard_normal((10, 4)).astype('f')
  total = None
  for start in range(0, 10, batch_size):
    chunk = values[start : start + batch_size]
    mask = np.arange(batch_size) < len(chunk)
    padded = np.full((batch_size, 4), np.nan, 'f')
    padded[: len(chunk)] = chunk
    mean = metrics.Mean.of(jnp.asarray(padded), jnp.asarray(mask))
    total = mean if total is None else total.merge(mean)
  np.testing.assert_allclose(total.compute(), values.mean(), rtol=1e-5)


def test_mean_weighs_by_mask():
  mean = metrics.Mean.of(jnp.array([1.0, 4.0]), jnp.array([3.0, 1.0]))
  np.testing.assert_allclose(mean.compute(), 7 / 4)


def iou_by_sets(predictions, labels, num_classes):
  """Mean IoU, mean class accuracy and accuracy, class by class, in float64."""
  labelled = labels < num_classes
  ious, accuracies = [], []
  for c in range(num_classes):
    right = set(np.flatnonzero((labels == c) & labelled))
    found = set(np.flatnonzero((predictions == c) & labelled))
    if right | found:
      ious.append(len(right & found) / len(right | found))
    if right:
      accuracies.append(len(right & found) / len(right))
  hits = (predictions == labels)[labelled]
  return np.mean(ious), np.mean(accuracies), hits.mean()


def segmentation_metrics(predictions, labels, mask, num_classes):
  counts = metrics.ConfusionMatrix.of(predictions, labels, mask, num_classes)
  return [
    cls(counts.counts)
    for cls in (
      metrics.MeanIou,
      metrics.MeanClassAccuracy,
      metrics.PixelAccuracy,
    )
  ]


@pytest.mark.parametrize('dtype', [np.int32, np.uint8])
def test_segmentation_metrics_are_those_of_the_whole_data_set(dtype):
  rng = np.random.default_rng(0)
  # Class 7 is nowhere; 6 is only predicted, 5 only right.
  predictions = rng.choice([0, 1, 2, 3, 4, 6], (4, 9, 11)).astype(dtype)
  labels = rng.choice([0, 1, 2, 3, 4, 5, 255], (4, 9, 11)).astype(dtype)
  # Unlike in every image: means of means would be wrong.
  labels[0], labels[1, :8] = 3, 255
  want = iou_by_sets(predictions.ravel(), labels.ravel(), 8)
  total = None
  for start in (0, 3):
    mask = np.float32([start == 0 or i == 0 for i in range(3)])
    rows = [min(start + i, 3) for i in range(3)]
    found = segmentation_metrics(predictions[rows], labels[rows], mask, 8)
    total = (
      found
      if total is None
      else [a.merge(b) for a, b in zip(total, found, strict=True)]
    )
  got = [metric.compute() for metric in total]
  np.testing.assert_allclose(got, want, rtol=1e-12)
  assert np.isnan(total[0].per_class()[7]) and total[0].per_class()[6] == 0


def test_segmentation_metrics_without_labels_are_nan():
  labels = np.full((1, 3, 3), 255)
  for metric in segmentation_metrics(labels * 0, labels, np.ones(1), 4):
    assert np.isnan(metric.compute())
