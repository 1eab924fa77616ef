"""Relevance against finite differences, and where it must vanish."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.paca_vit import models
from paca_vit import attention, classifier, relevance
from tests import golden_paca
from train_lib import stacking

IMAGES = golden_paca.images(2, 16, 20, 'float64')[..., :1]
CLASSES = np.array([2, 0])


class Explained:
  """A model of two blocks, its variables and jitted functions of them."""

  def __init__(self, blocks_per_assignment=None, scan_layers=False):
    config = models.model('demo')
    config.update(channels=(8,), depths=(2,), num_heads=(2,), num_classes=4)
    config.update(num_clusters=(5,), dtype='float64')
    config.update(blocks_per_assignment=blocks_per_assignment)
    config.update(scan_layers=scan_layers)
    model = classifier.make_classifier(config)
    shapes = golden_paca.shapes_of(model)
    self.variables = jax.tree.map(
      lambda x: np.asarray(x, float), golden_paca.random_variables(shapes)
    )

    @golden_paca.jit
    def explain(variables):
      return relevance.cluster_relevance(model, variables, IMAGES, CLASSES)

    @golden_paca.jit
    def scaled(variables, scales):
      return relevance.apply_scaled(model, variables, IMAGES, scales)[0]

    @golden_paca.jit
    def plain(variables):
      return model.apply(variables, IMAGES, train=False)

    self.explain, self.scaled, self.plain = explain, scaled, plain
    self.relevance, self.assignments = explain(self.variables)
    self.ones = {n: np.ones(x.shape) for n, x in self.relevance.items()}


@pytest.fixture(scope='module', autouse=True)
def wide():
  with jax.enable_x64(True):
    yield


@pytest.fixture(scope='module')
def sharing(wide):
  return Explained()


@pytest.fixture(scope='module')
def blockwise(wide):
  return Explained(blocks_per_assignment=1)


@pytest.mark.full
def test_layers_in_a_loop_have_the_clusters_of_unrolled_ones(sharing):
  looped = Explained(scan_layers=True)
  variables = stacking.unstacked(looped.variables)
  expected, assignments = sharing.explain(variables)
  assert looped.relevance.keys() == expected.keys() == {'stage_1'}
  for found, wanted in (
    (looped.relevance, expected),
    (looped.assignments, assignments),
  ):
    np.testing.assert_allclose(
      found['stage_1'], wanted['stage_1'], rtol=1e-6, atol=1e-9
    )
  off = {'stage_1': looped.ones['stage_1'].copy()}
  off['stage_1'][:, 2] = 0
  found = looped.scaled(looped.variables, off)
  np.testing.assert_allclose(found, sharing.scaled(variables, off), rtol=1e-6)
  assert np.abs(found - sharing.plain(variables)).max() > 1e-3


@pytest.mark.parametrize(
  'name, assignments',
  [
    ('sharing', ['stage_1']),
    pytest.param(
      'blockwise',
      ['stage_1_block_0', 'stage_1_block_1'],
      marks=pytest.mark.full,
    ),
  ],
)
def test_is_the_derivative_by_a_factor_on_a_token(name, assignments, request):
  explained = request.getfixturevalue(name)
  assert list(explained.relevance) == assignments
  step = 1e-5
  for name, found in explained.relevance.items():
    assert np.abs(found).max() > 1e-3
    for m in range(5):
      sides = []
      for sign in (1, -1):
        scales = explained.ones | {name: explained.ones[name].copy()}
        scales[name][:, m] += sign * step
        logits = explained.scaled(explained.variables, scales)
        sides.append(np.asarray(logits)[np.arange(2), CLASSES])
      want = (sides[0] - sides[1]) / (2 * step)
      np.testing.assert_allclose(found[:, m], want, rtol=1e-6, atol=1e-9)


def test_maps_sum_to_the_relevance(sharing):
  (found,) = sharing.relevance.values()
  (assignment,) = sharing.assignments.values()
  assert assignment.shape == (2, 5, 4, 5)
  maps = found[:, :, None, None] * assignment
  np.testing.assert_allclose(maps.sum(axis=(2, 3)), found, rtol=1e-9)


def test_ones_change_nothing_and_zeros_take_the_tokens_away(sharing):
  variables = sharing.variables
  np.testing.assert_allclose(
    sharing.scaled(variables, sharing.ones), sharing.plain(variables)
  )
  flat = flax.traverse_util.flatten_dict(variables)
  for path, value in flat.items():
    if path[-2] == 'cluster_norm':
      flat[path] = np.zeros_like(value)
  without = sharing.plain(flax.traverse_util.unflatten_dict(flat))
  zeros = jax.tree.map(np.zeros_like, sharing.ones)
  np.testing.assert_allclose(sharing.scaled(variables, zeros), without)


def test_a_logit_that_ignores_the_image_has_no_relevant_cluster(sharing):
  variables = jax.tree.map(np.copy, sharing.variables)
  variables['params']['head']['kernel'][:, CLASSES[0]] = 0
  (found,) = sharing.explain(variables)[0].values()
  assert np.all(found[0] == 0) and np.all(found[1] != 0)


def test_a_factor_on_the_assignment_says_nothing():
  """The reason for a factor on the token, which is normalised before."""
  module = attention.PatchToClusterAttention(num_heads=2, dtype='float64')
  patches = golden_paca.normal('patches', (1, 6, 8)).astype(float)
  logits = golden_paca.normal('logits', (1, 3, 6)).astype(float)
  variables = golden_paca.random_variables(
    jax.eval_shape(module.init, jax.random.key(0), patches, logits)
  )

  @golden_paca.jit
  def gradient_of(assignment):
    return jax.grad(
      lambda x: jnp.sum(module.apply(variables, patches, x) ** 2)
    )(assignment)

  assignment = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
  gradient = np.asarray(gradient_of(assignment))
  per_patch = gradient * assignment
  assert np.abs(per_patch).max() > 1e-2
  assert np.abs(per_patch.sum(axis=-1)).max() < 1e-4 * np.abs(per_patch).max()
