"""The check itself, on a tiny config: what it reports and what it refuses.

make tpu-compile
"""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from tools.compile_check import check, hlo, report

NAME = 'perceiver_io/mnist5k:tiny'


def test_reports_one_device_of_the_mesh():
  options = {'mesh.tensor': 2, 'mesh.inputs': 2}
  found = check.check(NAME, 'v5e:2x4', options)
  assert found.num_devices == 8
  assert 0 < found.arguments < 2**20 and 0 < found.temporaries < 2**30
  assert found.flops > 0 and found.moved > 0
  assert found.collectives['all-reduce'] > 0
  assert 0 < found.step_seconds(found.chip) < 1e-2
  assert NAME in report.table([found])


def test_too_little_memory_is_an_error(monkeypatch):
  small = dataclasses.replace(check.CHIPS['v5e'], hbm=1000)
  monkeypatch.setitem(check.CHIPS, 'v5e', small)
  with pytest.raises(check.CheckError, match='a device needs'):
    check.check(NAME, 'v5e:2x2', {})


def test_large_state_that_is_whole_everywhere_is_an_error(monkeypatch):
  """A kernel [64, 64] is too small for the rule 'fsdp' to split it."""
  monkeypatch.setattr(check, 'LARGE', 4 * 32 * 32)
  with pytest.raises(
    check.CheckError, match=r'params/.*kernel.* is whole on every devi'
  ):
    check.check(NAME, 'v5e:2x2', {'mesh.fsdp': 2})


def test_large_gathers_of_what_is_no_parameter_are_errors(monkeypatch):
  """Such as the queries' results, of an example that is split."""
  options = {'mesh.inputs': 4}
  check.check(NAME, 'v5e:2x2', options)
  monkeypatch.setattr(check, 'LARGE', 1)
  with pytest.raises(
    check.CheckError, match=r'every device gathers \(.*MiB, in '
  ):
    check.check(NAME, 'v5e:2x2', options)


def test_parameters_may_be_gathered_layer_by_layer():
  layer, stack = (1280, 1280), (26, 1280, 1280)
  params = {
    'stacked_layer': {'kernel': jax.ShapeDtypeStruct(stack, jnp.float32)},
    'head': jax.ShapeDtypeStruct((2048, 768), jnp.float32),
  }

  def check_gather(shape):
    result = (shape, check.LARGE)
    found = hlo.Collective('all-gather', [result], 1, 'jit(step)/layer')
    check.check_gathers('a', [found], params)

  check_gather((2048, 768))
  check_gather(layer)
  check_gather((1, *layer))
  for shape in (stack, (2048, 1280)):
    with pytest.raises(check.CheckError, match='in jit.step./layer'):
      check_gather(shape)
