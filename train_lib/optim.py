"""Optimizers and schedules of both papers, assembled from Optax.

Paths are those of the parameters, `stage1/block0/attn/q/kernel`; regular
expressions are searched in them.
"""

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from train_lib import sharding, stacking

PyTree = Any


def make_optimizer(
  config: ml_collections.ConfigDict, num_steps: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
  """Builds the chain: clip, Adam direction, decay, trust ratio, learning rate.

  Args:
    config: name ('adamw' or 'lamb'), b1, b2, eps; weight_decay and
      decay_exclude, regular expressions of what is not decayed; clip_norm,
      the largest global gradient norm, or None; lr_multipliers, pairs of
      (regular expression, factor), the first found wins; layer_decay and layers
      (`layer_factors`), None to have one rate; frozen, regular expressions of
      what is not trained and has no moments; ema_decay of the parameters that
      evaluations use, or None; schedule (`make_schedule`).
    num_steps: the length of the run.

  Returns:
    The transformation, and the schedule: step -> learning rate.
  """
  if config.name not in ('adamw', 'lamb'):
    raise ValueError(
      f"config.optim.name: found {config.name!r}; expected 'adamw' or 'lamb'."
    )
  schedule = make_schedule(config.schedule, num_steps)
  chain = []
  if config.clip_norm is not None:
    chain.append(optax.clip_by_global_norm(config.clip_norm))
  chain += [
    optax.scale_by_adam(b1=config.b1, b2=config.b2, eps=config.eps),
    optax.add_decayed_weights(
      config.weight_decay, mask=_excluding(config.decay_exclude)
    ),
  ]
  if config.name == 'lamb':
    chain.append(_by_layer(optax.scale_by_trust_ratio()))
  if config.lr_multipliers:
    chain.append(_scale_by_path(config.lr_multipliers))
  layers = tuple(config.layers)
  if config.layer_decay is not None:
    if not layers:
      raise ValueError(
        'config.optim.layers: expected regular expressions of the layers, '
        'found none, beside a layer_decay.'
      )
    chain.append(_scale_by_layer(layers, config.layer_decay))
  chain.append(optax.scale_by_learning_rate(schedule))
  tx = optax.chain(*chain)
  if config.frozen:
    tx = _trained_alone(tx, tuple(config.frozen))
  if config.ema_decay is not None:
    tx = optax.chain(tx, params_ema(config.ema_decay))

  def init(params):
    _check_patterns(config, params)
    return tx.init(params)

  return optax.GradientTransformation(init, tx.update), schedule


def _check_patterns(config, params) -> None:
  """Raises a ValueError if an option names none of the parameters, or all."""
  leaves = jax.tree_util.tree_flatten_with_path(params)[0]
  names = [_name(path) for path, _ in leaves]
  options = [('decay_exclude', tuple(config.decay_exclude))]
  options += [('lr_multipliers', (x,)) for x, _ in config.lr_multipliers]
  options += [('frozen', tuple(config.frozen))]
  for option, patterns in options:
    found = [any(re.search(p, name) for p in patterns) for name in names]
    if patterns and names and not any(found):
      raise ValueError(
        f'config.optim.{option}: found {patterns}; expected what is found in '
        f'the name of some parameter, such as {names[0]}.'
      )
    if option == 'frozen' and names and all(found):
      raise ValueError(
        f'config.optim.frozen: found {patterns}; expected to leave something '
        'to be trained.'
      )


def layer_factors(
  params: PyTree, layers: Sequence[str], decay: float
) -> PyTree:
  """What each array's rate is multiplied by: 1, decay, decay^2, ...

  The last layer has `decay`, the one before decay^2, and so on (Clark et al.
  2020, ELECTRA, appendix A; Bao et al. 2021, BEiT, appendix H). What is in none
  of them, such as a new head, has 1.

  Args:
    params: of the model.
    layers: regular expressions, from the first layer to the last. Numbers that
      groups of one capture tell its layers apart, in their order; a group that
      is not there comes after all numbers.
    decay: from a layer to the one before.

  Returns:
    Like `params`, numbers; of stacked layers [L, 1, ...].
  """
  names = {}
  for path, x in jax.tree_util.tree_flatten_with_path(params)[0]:
    name = sharding.path_name(path)
    num = len(x) if stacking.is_stacked(name) else 1
    names[name] = [stacking.layer_name(name, i) for i in range(num)]
  keys = {n: _layer_key(n, layers) for found in names.values() for n in found}
  order = sorted({key for key in keys.values() if key is not None})

  def factor(name):
    if keys[name] is None:
      return 1.0
    return decay ** (len(order) - order.index(keys[name]))

  def leaf(path, x):
    found = [factor(name) for name in names[sharding.path_name(path)]]
    if not stacking.is_stacked(sharding.path_name(path)):
      return found[0]
    return np.float32(found).reshape(-1, *(1,) * (x.ndim - 1))

  return jax.tree_util.tree_map_with_path(leaf, params)


def _layer_key(name: str, layers: Sequence[str]) -> tuple | None:
  for place, pattern in enumerate(layers):
    if match := re.search(pattern, name):
      numbers = (math.inf if x is None else int(x) for x in match.groups())
      return place, *numbers
  return None


def _scale_by_layer(layers, decay) -> optax.GradientTransformation:
  return optax.stateless(
    lambda updates, params: jax.tree.map(
      lambda update, factor: update * factor,
      updates,
      layer_factors(updates, layers, decay),
    )
  )


def without_gradients(params: PyTree, frozen: Sequence[str]) -> PyTree:
  """`params`, of which what is frozen has no gradients: none are computed.

  Args:
    params: of the model.
    frozen: regular expressions, as `make_optimizer`'s.
  """
  if not frozen:
    return params
  return jax.tree.map(
    lambda x, is_trained: x if is_trained else jax.lax.stop_gradient(x),
    params,
    _excluding(frozen)(params),
  )


def _trained_alone(
  tx: optax.GradientTransformation, frozen: Sequence[str]
) -> optax.GradientTransformation:
  """`tx` for what is not frozen; the rest stays and has no state."""
  is_trained = _excluding(frozen)

  def labels(params):
    return jax.tree.map(
      lambda x: 'trained' if x else 'frozen', is_trained(params)
    )

  return optax.partition({'trained': tx, 'frozen': optax.set_to_zero()}, labels)


def make_schedule(
  config: ml_collections.ConfigDict, num_steps: int
) -> optax.Schedule:
  """Step -> learning rate: a linear warm-up, then a decay.

  Args:
    config: decay ('constant', 'cosine', 'step' or 'polynomial'), lr, end_lr;
      warmup_steps, warmup_lr (where the warm-up starts) and
      decay_starts_at_zero: the decay is a function of the absolute step, so
      that the warm-up replaces its beginning (timm), and does not begin after
      the warm-up; flat_steps: how long `lr` is held before the decay;
      update_every_steps: the rate changes only at multiples of it (timm: once
      an epoch). 'step' reads boundaries, shares of num_steps, and factor, not
      end_lr; 'polynomial' reads power.
    num_steps: where the decay ends.
  """
  start = 0 if config.decay_starts_at_zero else config.warmup_steps
  start += config.flat_steps
  length = num_steps - start
  if length < 1:
    raise ValueError(
      f'config.optim.schedule: warmup_steps {config.warmup_steps} and '
      f'flat_steps {config.flat_steps} leave nothing of {num_steps} steps.'
    )
  if config.decay == 'constant':
    decay = optax.constant_schedule(config.lr)
  elif config.decay == 'cosine':
    decay = optax.cosine_decay_schedule(
      config.lr, length, alpha=config.end_lr / config.lr
    )
  elif config.decay == 'polynomial':
    decay = optax.polynomial_schedule(
      config.lr, config.end_lr, config.power, length
    )
  elif config.decay == 'step':
    decay = optax.piecewise_constant_schedule(
      config.lr,
      {int(b * num_steps) - start: config.factor for b in config.boundaries},
    )
  else:
    raise ValueError(
      f'config.optim.schedule.decay: found {config.decay!r}; expected '
      "'constant', 'cosine', 'step' or 'polynomial'."
    )

  def schedule(step):
    step = step // config.update_every_steps * config.update_every_steps
    rate = decay(jnp.maximum(step - start, 0))
    slope = (config.lr - config.warmup_lr) / max(config.warmup_steps, 1)
    warmup = config.warmup_lr + slope * step
    return jnp.where(step < config.warmup_steps, warmup, rate)

  return schedule


def _excluding(patterns: Sequence[str]):
  """A mask function: True where none of the patterns is found."""

  def mask(params):
    return jax.tree_util.tree_map_with_path(
      lambda path, _: not any(re.search(p, _name(path)) for p in patterns),
      params,
    )

  return mask


def _name(path) -> str:
  return stacking.layer_name(sharding.path_name(path))


def _by_layer(tx: optax.GradientTransformation) -> optax.GradientTransformation:
  """Applies what has no state to each array, of stacks to each layer's."""

  def scaled(update, param):
    return tx.update(update, tx.init(param), param)[0]

  def leaf(path, update, param):
    stacked = stacking.is_stacked(sharding.path_name(path))
    return (jax.vmap(scaled) if stacked else scaled)(update, param)

  return optax.stateless(
    lambda updates, params: jax.tree_util.tree_map_with_path(
      leaf, updates, params
    )
  )


def _scale_by_path(multipliers) -> optax.GradientTransformation:
  """Multiplies updates by the factor of the first pattern found."""

  def factor(path, update):
    name = _name(path)
    for pattern, value in multipliers:
      if re.search(pattern, name):
        return update * value
    return update

  return optax.stateless(
    lambda updates, params: jax.tree_util.tree_map_with_path(factor, updates)
  )


class ParamsEmaState(NamedTuple):
  params_ema: PyTree


def params_ema(decay: float) -> optax.GradientTransformation:
  """Keeps ema = decay * ema + (1 - decay) * params; the last of a chain.

  It is part of the optimizer's state, so that it is sharded, saved and
  restored like the moments.
  """

  def update(updates, state, params):
    new_params = optax.apply_updates(params, updates)
    return updates, ParamsEmaState(
      optax.incremental_update(new_params, state.params_ema, 1 - decay)
    )

  return optax.GradientTransformation(
    # A copy: the same buffer may not be donated twice.
    lambda params: ParamsEmaState(jax.tree.map(jnp.copy, params)),
    update,
  )
