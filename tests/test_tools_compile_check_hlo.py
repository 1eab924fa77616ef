"""Bytes and collectives of small programs whose figures are known by hand."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from tools.compile_check import hlo


def compiled(f, *args, **shardings):
  return hlo.Program(jax.jit(f, **shardings).lower(*args).compile().as_text())


def test_a_loop_counts_as_often_as_it_runs():
  """Seven products of 64 x 64 with slices of a stack, which are read once."""
  x = jax.ShapeDtypeStruct((64, 64), jnp.float32)
  stack = jax.ShapeDtypeStruct((7, 64, 64), jnp.float32)

  def f(x, stack):
    return jax.lax.scan(lambda x, w: (jnp.sin(x @ w), None), x, stack)[0]

  size = 4 * 64 * 64
  moved = compiled(f, x, stack).bytes_accessed()
  # Three to eight arrays an iteration, however the compiler fuses it; the
  # whole stack each time would be 49 and more.
  assert 3 * 7 * size <= moved <= 8 * 7 * size


def test_a_loop_that_only_its_condition_bounds():
  text = """HloModule m

%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p = (s32[]{:T(128)}, f32[8]{0}) parameter(0)
  %x = f32[8]{0} get-tuple-element(%p), index=1
  %sum = f32[8]{0} all-reduce(%x), to_apply=%add
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  ROOT %out = (s32[]{:T(128)}, f32[8]{0}) tuple(%i, %sum)
}

%condition (p: (s32[], f32[8])) -> pred[] {
  %constant.1 = s32[]{:T(128)} constant(24), metadata={stack_frame_id=1}
  %p = (s32[]{:T(128)}, f32[8]{0}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i, %constant.1), direction=LT
}

ENTRY %main (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p = (s32[]{:T(128)}, f32[8]{0}) parameter(0)
  ROOT %loop = (s32[]{:T(128)}, f32[8]{0}) while(%p), condition=%condition, body=%body
}
"""  # noqa: E501
  (found,) = hlo.Program(text).collectives()
  assert (found.size, found.times) == (32, 24)


@pytest.mark.parametrize('num', [2, 3])
def test_every_branch_counts(num):
  """Two are written otherwise than more are."""
  mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
  split, whole = NamedSharding(mesh, P('data')), NamedSharding(mesh, P())
  i = jax.ShapeDtypeStruct((), jnp.int32, sharding=whole)
  x = jax.ShapeDtypeStruct((16, 32), jnp.float32, sharding=split)
  branches = [lambda x, k=k: jnp.sin(x[k:]).sum(0) for k in range(num)]
  program = compiled(
    lambda i, x: jax.lax.switch(i, branches, x), i, x, out_shardings=whole
  )
  reduced = [c for c in program.collectives() if c.kind == 'all-reduce']
  assert len(reduced) == num and {c.size for c in reduced} == {4 * 32}


def test_collectives_are_found_in_loops():
  mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
  split, whole = NamedSharding(mesh, P('data')), NamedSharding(mesh, P())
  x = jax.ShapeDtypeStruct((16, 32), jnp.float32, sharding=split)

  def f(x):
    def body(total, _):
      total = total + jnp.sin(x * total[0, 0]).sum(0, keepdims=True)
      return total, None

    return jax.lax.scan(body, jnp.ones((1, 32)), length=5)[0]

  found = compiled(f, x, out_shardings=whole).collectives()
  reduced = [c for c in found if c.kind == 'all-reduce']
  assert sum(c.times for c in reduced) == 5
  assert {c.size for c in reduced} == {4 * 32}
  found = compiled(lambda x: x + 1, x, out_shardings=whole).collectives()
  assert [(c.kind, c.results) for c in found] == [
    ('all-gather', [((16, 32), 4 * 16 * 32)])
  ]


def test_on_chip_memory_is_free():
  text = """HloModule m

ENTRY %main (p: f32[8,128]) -> f32[8,128] {
  %p = f32[8,128]{1,0:T(8,128)} parameter(0)
  %start = (f32[8,128]{1,0:T(8,128)S(1)}, f32[8,128]{1,0}, u32[]{:S(2)}) copy-start(%p)
  %done = f32[8,128]{1,0:T(8,128)S(1)} copy-done(%start)
  ROOT %out = f32[8,128]{1,0:T(8,128)} add(%done, %done)
}
"""  # noqa: E501
  assert hlo.Program(text).bytes_accessed() == 2 * 4 * 8 * 128


def test_a_slice_in_a_nested_fusion_is_all_that_is_read():
  text = """HloModule m

%inner (a: f32[24,128], i: s32[]) -> f32[1,128] {
  %a = f32[24,128]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %zero = s32[] constant(0)
  ROOT %slice = f32[1,128]{1,0} dynamic-slice(%a, %i, %zero), dynamic_slice_sizes={1,128}
}

%outer (stack: f32[24,128], n: s32[]) -> f32[1,128] {
  %stack = f32[24,128]{1,0} parameter(0)
  %n = s32[] parameter(1)
  %layer = f32[1,128]{1,0} fusion(%stack, %n), kind=kLoop, calls=%inner
  ROOT %sin = f32[1,128]{1,0} sine(%layer)
}

ENTRY %main (p: f32[24,128], k: s32[]) -> f32[1,128] {
  %p = f32[24,128]{1,0} parameter(0)
  %k = s32[] parameter(1)
  ROOT %out = f32[1,128]{1,0} fusion(%p, %k), kind=kLoop, calls=%outer
}
"""  # noqa: E501
  # A row read, a row written, and the number of the row.
  assert hlo.Program(text).bytes_accessed() == 2 * 4 * 128 + 4


def test_all_results_of_a_collective_count_and_no_operand():
  text = """HloModule m

ENTRY %main (p: bf16[8,128], q: f32[4]) -> bf16[16,128] {
  %p = bf16[8,128]{1,0:T(8,128)} parameter(0)
  %q = f32[4]{0} parameter(1)
  %sum = (bf16[8,128]{1,0:T(8,128)S(1)}, f32[4]{0}) all-reduce(%p, %q), to_apply=%add
  %one = bf16[8,128]{1,0:T(8,128)S(1)} get-tuple-element(%sum), index=0
  %start = (bf16[8,128]{1,0}, bf16[16,128]{1,0}) all-gather-start(%one), dimensions={0}
  ROOT %done = bf16[16,128]{1,0} all-gather-done(%start)
}
"""  # noqa: E501
  found = hlo.Program(text).collectives()
  assert [(c.kind, c.size, c.results[-1]) for c in found] == [
    ('all-reduce', 2 * 8 * 128 + 4 * 4, ((4,), 16)),
    ('all-gather', 2 * 16 * 128, ((16, 128), 2 * 16 * 128)),
  ]


def test_what_is_no_program_is_named():
  with pytest.raises(ValueError, match='no ENTRY'):
    hlo.Program('nothing')
