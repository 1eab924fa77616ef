"""Which clusters carried a classifier's decision: gradient x assignment.

A block's clusters are tokens T_m, weighted sums of patches, normalised before
they become keys and values. With a factor s_m on each token the relevance of
cluster m to the logit y_c of a class is

  R_m = d y_c / d s_m at s = 1 = sum over channels of (d y_c / d T_m) T_m,

summed over the blocks that share the assignment: to first order what y_c loses
without the cluster. Its weights A_m [N] sum to 1 over the patches, and so
R_m A_m is a map of the image that sums to R_m. (A factor on the assignment
itself would change nothing: the normalisation takes it away.)

Shapes: B batch, H, W of a stage's map, N = H W patches, M clusters, K classes.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from paca_vit import backbone, classifier

PyTree = Any


def apply_scaled(
  model: classifier.PacaViT,
  variables: PyTree,
  images: jax.Array,
  scales: dict[str, jax.Array],
) -> tuple[jax.Array, backbone.Features]:
  """Logits [B, K] and features with a factor on each cluster's token.

  Args:
    model: the classifier.
    variables: its variables.
    images: [B, ., ., C].
    scales: name of an assignment, see `assignment_names` -> [B, M]; 0 takes
      the cluster's content away.
  """
  names = assignment_names(model.backbone)

  def intercept(next_method, args, kwargs, context):
    tokens = next_method(*args, **kwargs)
    module = context.module
    if module.name != 'cluster_norm' or context.method_name != '__call__':
      return tokens
    block = module.parent.parent  # <block>/attention/cluster_norm
    scale = scales[names[block.name]]
    return tokens * scale[:, :, None].astype(tokens.dtype)

  with nn.intercept_methods(intercept):
    return model.apply(variables, images, train=False, return_features=True)


def cluster_relevance(
  model: classifier.PacaViT,
  variables: PyTree,
  images: jax.Array,
  classes: jax.Array,
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
  """How much each cluster says for a class.

  Args:
    model: the classifier.
    variables: its variables.
    images: [B, ., ., C].
    classes: integers [B], whose logit is explained.

  Returns:
    The relevance R [B, M], for each assignment of the model by its name, and
    the assignments [B, M, H, W].
  """

  def assignments():
    features = model.apply(
      variables, images, train=False, return_features=True
    )[1]
    return _by_name(model.backbone, features)

  ones = {
    name: jnp.ones(x.shape[:2], x.dtype)
    for name, x in jax.eval_shape(assignments).items()
  }

  def chosen_logits(scales):
    logits, features = apply_scaled(model, variables, images, scales)
    # Examples do not mix, so the sum's gradient is each example's own.
    return jnp.sum(jnp.take_along_axis(logits, classes[:, None], 1)), features

  relevance, features = jax.grad(chosen_logits, has_aux=True)(ones)
  return relevance, _by_name(model.backbone, features)


def assignment_names(model: backbone.PacaBackbone) -> dict[str, str]:
  """Block -> name of the assignment that it uses.

  That is 'stage_2' if all blocks of the stage share one, else the block that
  made it, 'stage_2_block_0'.
  """
  names = {}
  for i, stage in enumerate(model.stages, 1):
    shared_by = stage.blocks_per_assignment or stage.depth
    for j in range(stage.depth):
      names[f'stage_{i}_block_{j}'] = (
        f'stage_{i}'
        if shared_by >= stage.depth
        else f'stage_{i}_block_{j - j % shared_by}'
      )
  return names


def _by_name(model, features):
  """Each assignment once, [B, M, H, W]; stages without clusters have none."""
  names = assignment_names(model)
  found = {}
  for i, (x, blocks) in enumerate(
    zip(features.maps, features.assignments, strict=True), 1
  ):
    for j, assignment in enumerate(blocks):
      name = names[f'stage_{i}_block_{j}']
      if assignment is not None and name not in found:
        shape = (*assignment.shape[:2], *x.shape[1:-1])
        found[name] = assignment.reshape(shape)
  return found
