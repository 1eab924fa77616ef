"""Features that do not depend on the canvas."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.paca_vit import models
from paca_vit import padding
from paca_vit.detection import mask_rcnn
from tests import golden_paca

# Detectors take long to compile.
pytestmark = pytest.mark.full


def small_detector(variant, own_canvas):
  config = models.mask_rcnn(variant, 3)
  config.update(
    dict(
      channels=(8, 12, 16, 20),
      depths=(1, 1, 2, 1),
      num_heads=(2, 2, 4, 4),
      num_clusters=tuple(7 if m else 0 for m in config.num_clusters),
      pyramid_channels=12,
      box_channels=16,
      dtype='float64',
    )
  )
  if 'depths' in config.clustering:
    config.clustering.depths = (1, 1, 1, 1)
  config.detector = dict(
    own_canvas=own_canvas,
    min_score=0.0,
    candidates=(50, 50),
    num_proposals=20,
    max_detections=8,
  )
  return mask_rcnn.make_detector(config)


# The second image has an own canvas of 64 x 96, too.
SIZES = np.int32([[64, 96], [50, 70]])


def canvases():
  """Two images on their own canvas, and on a larger one."""
  images = np.zeros((2, 64, 96, 3))
  rng = np.random.default_rng(0)
  for image, (height, width) in zip(images, SIZES, strict=True):
    image[:height, :width] = rng.standard_normal((height, width, 3))
  return images, np.pad(images, ((0, 0), (0, 64), (0, 32), (0, 0)))


def float64_variables(model, *args):
  shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *args))
  return golden_paca.random_variables(
    jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, np.float64), shapes)
  )


@pytest.mark.parametrize(
  'variant', ['tiny_p2cconv_100_0', 'small_p2cmlp_100_0', 'convmixer_tiny_100']
)
def test_features_do_not_depend_on_the_canvas(variant):
  images, wide = canvases()
  with jax.enable_x64(True):
    model = small_detector(variant, False).backbone
    variables = float64_variables(model, images, False)

    def run(images, ignore):
      with ignore:
        return model.apply(variables, images, False).maps

    @golden_paca.jit
    def both(images, wide):
      ignored = padding.ignored((128, 128), SIZES)
      return run(images, contextlib.nullcontext()), run(wide, ignored)

    want, found = both(images, wide)
  for a, b in zip(found, want, strict=True):
    a = a[:, : b.shape[1], : b.shape[2]]
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)


def test_detections_do_not_depend_on_the_canvas():
  images, wide = canvases()
  with jax.enable_x64(True):
    own, published = (
      small_detector('tiny_p2cconv_100_0', x) for x in (True, False)
    )
    variables = float64_variables(own, images, SIZES)

    @golden_paca.jit
    def run(images, wide):
      return (
        own.apply(variables, wide, SIZES),
        published.apply(variables, images, SIZES),
        # The option is needed.
        published.apply(variables, wide, SIZES, method=scores),
        published.apply(variables, images, SIZES, method=scores),
      )

    def scores(model, *args):
      return model.regions(*args, train=False).logits[-1][:, 0]

    found, want, elsewhere, here = run(images, wide)
  assert np.all(found.valid)
  for a, b in zip(found, want, strict=True):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
  assert np.all(np.abs(elsewhere - here) > 1e-4)


def test_positions_of_an_own_canvas():
  found = padding.own_positions((3, 5), jnp.int32([[33, 10], [96, 160]]), 32)
  np.testing.assert_array_equal(found[0].any(1), [True, True, False])
  np.testing.assert_array_equal(found[0].any(0), [True] + 4 * [False])
  assert found[1].all()
  # Strides beyond 32 round up.
  found = padding.own_positions((2, 3), jnp.int32([[96, 160]]), 64)
  assert found.all()


def test_a_canvas_of_other_sides_is_refused():
  with pytest.raises(ValueError, match=r'multiples of 32.*\(64, 100\)'):
    with padding.ignored((64, 100), jnp.int32([[64, 100]])):
      pass
