"""Baselines of texts, pictures and sounds: what they see, and what not."""

import numpy as np

from configs.perceiver_io import audioset, finetune_clips
from tools import simple_baselines


def test_features_are_means():
  rng = np.random.default_rng(0)
  image = rng.random((2, 3, 32, 48, 3))
  audio = rng.random((2, 7, 5))
  found = simple_baselines.features({'image': image, 'audio': audio})
  assert found.shape == (16 * 16 * 3 + 10,)
  corner = image[..., :2, :3, 0].mean(axis=(0, 1)).sum()
  np.testing.assert_allclose(found[0], corner)
  np.testing.assert_allclose(found[-10:-5], audio.mean(axis=(0, 1)))
  small = simple_baselines.features({'image': image[0, 0, :8, :8]})
  np.testing.assert_allclose(small, image[0, 0, :8, :8].ravel())


def test_each_evaluation_has_its_own():
  found = simple_baselines.evaluations(finetune_clips.get_config('demo'))
  hidden = {name: data.preprocess.hidden for name, data in found.items()}
  assert hidden == {'validation': (), 'seen': ('audio',), 'heard': ('image',)}
  assert {data.split for data in found.values()} == {'validation'}
  twice = audioset.get_config('demo')  # Two evaluations of the same data.
  assert len(twice.evals) == 2 and len(simple_baselines.evaluations(twice)) == 1


def test_words_decide():
  texts = [f'{w} of {i}' for i in range(20) for w in ('corn', 'oil', 'tin')]
  y = np.arange(60) % 3 % 2  # oil or not
  found = simple_baselines.baselines((texts, y), (['oil', 'corn'], y[1:3]))
  assert found == {
    'always the most frequent class, accuracy': 0.5,
    'logistic regression, accuracy': 1.0,
  }


def test_several_labels():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 2, (200, 3)).astype(np.float32)
  labels[:, 2] = 0  # of no example
  labels[0, 2] = 1
  x = labels + rng.normal(0, 0.1, labels.shape)
  found = simple_baselines.baselines((x, labels), (x[1:], labels[1:]))
  assert found['logistic regression, map'] > 99
  assert abs(found['chance, map'] - 100 * labels[1:, :2].mean()) < 1e-3
