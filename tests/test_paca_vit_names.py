"""The authors' checkpoints: names, round trips, and what is refused."""

import functools
import json

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from configs.paca_vit import models
from paca_vit import backbone, classifier, clustering, names
from tests import golden_paca


def small_teacher_model():
  return classifier.make_classifier(
    ml_collections.ConfigDict(
      dict(
        models.model('convmixer_tiny_100'),
        channels=(4, 6),
        depths=(1, 2),
        num_heads=(2, 2),
        num_clusters=(5, 0),
        clustering=dict(kind='ClusteringTeacher', depths=(1, 1), kernel_size=3),
        num_classes=7,
      )
    )
  )


def shapes_and_tensors(model):
  shapes = golden_paca.shapes_of(model)
  theirs = jax.eval_shape(names.to_state_dict, shapes)
  tensors = {
    name: np.zeros(())
    if name.endswith('num_batches_tracked')
    else golden_paca.normal(name, x.shape)
    for name, x in theirs.items()
    if not name.endswith('blur_filter')
  }
  return shapes, tensors


@pytest.mark.parametrize(
  'path', sorted((golden_paca.FOLDER / 'state_specs').iterdir())
)
def test_names_and_shapes_are_the_published_ones(path):
  want = {
    name: tuple(shape)
    for name, shape, _ in json.loads(path.read_text())['tensors']
  }
  shapes = golden_paca.shapes_of(
    classifier.make_classifier(models.model(path.stem))
  )
  theirs = jax.eval_shape(names.to_state_dict, shapes)
  assert {name: x.shape for name, x in theirs.items()} == want


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_round_trip_is_exact(dtype):
  shapes, tensors = shapes_and_tensors(small_teacher_model())
  wanted = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, np.dtype(dtype)), shapes
  )
  # More digits than float32 holds, where the variables hold them.
  tensors = {
    k: v.astype(dtype) / np.dtype(dtype).type(3) for k, v in tensors.items()
  }
  variables = names.from_state_dict(tensors, wanted)
  assert jax.tree.structure(variables) == jax.tree.structure(wanted)
  back = names.to_state_dict(variables)
  assert set(tensors) < set(back)
  for name, value in tensors.items():
    if not name.endswith('num_batches_tracked'):
      assert back[name].dtype == dtype
      np.testing.assert_array_equal(back[name], value, err_msg=name)
  blur = back['paca_teacher.transition1.0.blur_filter']
  assert blur.shape == (4, 1, 3, 3)
  np.testing.assert_array_equal(
    blur[2, 0] * 16, [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
  )
  names.from_state_dict(back, wanted)  # with the buffers: accepted


def test_options_of_the_authors_code_that_no_published_model_uses():
  stage = backbone.Stage(
    4, 1, 2, functools.partial(clustering.LinearClustering, num_clusters=3)
  )
  block = functools.partial(
    backbone.Block, norm_after=True, layer_scale=0.1, cluster_position=True
  )
  model = classifier.PacaViT(
    backbone.PacaBackbone([stage], block=block, position_grid=(8, 8)), 5
  )
  shapes, tensors = shapes_and_tensors(model)
  found = {
    name: x.shape for name, x in tensors.items() if name.startswith('stage1.0')
  }
  assert found['stage1.0.gamma2'] == (4,)
  assert found['stage1.0.norm1_after.weight'] == (4,)
  assert found['stage1.0.pos_embed'] == (1, 64, 4)
  assert found['stage1.0.attn.cluster_pos_enc'] == (1, 3, 4)
  assert found['stage1.0.attn.clustering.clustering.0.weight'] == (3, 4)
  variables = names.from_state_dict(tensors, shapes)
  positions = variables['params']['backbone']['stage_1_block_0']['positions']
  np.testing.assert_array_equal(
    positions[3, 5], tensors['stage1.0.pos_embed'][0, 3 * 8 + 5]
  )
  back = names.to_state_dict(variables)
  for name, value in tensors.items():
    np.testing.assert_array_equal(back[name], value)


def test_everything_that_does_not_fit_is_listed():
  shapes, tensors = shapes_and_tensors(small_teacher_model())
  del tensors['norm1.bias']
  tensors['head.weight'] = tensors['head.weight'][:5]
  tensors['stage1.0.attn.q.weight'] = tensors['stage1.0.attn.q.weight'][None]
  tensors['stage9.0.gamma1'] = np.ones(3)
  tensors['head.num_batches_tracked'] = np.zeros(())
  tensors['paca_teacher.transition1.0.blur_filter'] = np.ones((4, 1, 3, 3)) / 9
  with pytest.raises(ValueError) as error:
    names.from_state_dict(tensors, shapes)
  message = str(error.value)
  for line in [
    'params/backbone/stage_1_norm/bias: no tensor norm1.bias',
    'expected head.weight of shape (7, 6), found (5, 6)',
    'expected stage1.0.attn.q.weight of shape (4, 4), found (1, 4, 4)',
    'stage9.0.gamma1: a tensor without a variable',
    'head.num_batches_tracked: a tensor without a variable',
    'blur_filter: not the binomial filter',
  ]:
    assert line in message
  assert len(message.splitlines()) == 7


def test_variables_without_a_counterpart_are_refused_both_ways():
  stage = backbone.Stage(
    4, 1, 2, functools.partial(clustering.CentroidClustering, num_clusters=3)
  )
  model = classifier.PacaViT(backbone.PacaBackbone([stage]), 5)
  shapes = golden_paca.shapes_of(model)
  with pytest.raises(ValueError, match='clustering/centroids'):
    jax.eval_shape(names.to_state_dict, shapes)
  with pytest.raises(ValueError, match='clustering/centroids'):
    names.from_state_dict({}, shapes)


def test_tensors_become_the_dtype_of_the_variables():
  shapes, tensors = shapes_and_tensors(small_teacher_model())
  half = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16), shapes
  )
  variables = names.from_state_dict(tensors, half)
  assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.bfloat16.dtype}
