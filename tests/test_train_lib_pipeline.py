"""Order, resumption and process-independence of the input pipeline."""

import itertools
import json
import os
import socket
import subprocess
import sys

import jax
import ml_collections
import numpy as np
import pytest
from absl import flags
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

from data.images import digits
from train_lib import batch_layout, pipeline

SOURCE = [{'id': np.int32(i)} for i in range(10)]


def preprocess(example, *, rng):
  return {'id': example['id'], 'draw': np.float32(rng.random())}


def sharding():
  mesh = jax.make_mesh((1,), ('data',), axis_types=(AxisType.Auto,))
  return NamedSharding(mesh, PartitionSpec('data'))


def config(**changes):
  values = dict(
    module='data.images.digits',
    split='train',
    source='synthetic',
    data_dir=None,
    batch_size=12,
    preprocess={},
    num_workers=0,
    num_threads=2,
  )
  return ml_collections.ConfigDict({**values, **changes})


def take(iterator, n):
  return [jax.tree.map(np.asarray, b) for b in itertools.islice(iterator, n)]


def assert_same(batches, others):
  assert len(batches) == len(others)
  for batch, other in zip(batches, others, strict=True):
    jax.tree.map(np.testing.assert_array_equal, batch, other)


def test_every_epoch_is_a_new_permutation():
  examples = pipeline.train_examples(SOURCE, preprocess, seed=3)
  epochs = [
    [int(examples[10 * epoch + i]['id']) for i in range(10)]
    for epoch in range(20)
  ]
  assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
  assert len(set(map(tuple, epochs))) == 20


def test_augmentation_differs_by_epoch_and_by_seed():
  examples = pipeline.train_examples(SOURCE, preprocess, seed=3)
  draws = [float(examples[i]['draw']) for i in range(100)]
  assert len(set(draws)) == 100
  other = pipeline.train_examples(SOURCE, preprocess, seed=4)
  assert not set(draws) & {float(other[i]['draw']) for i in range(100)}


@pytest.mark.parametrize('num_processes', [1, 2, 4])
def test_processes_hold_consecutive_rows_of_one_stream(num_processes):
  examples = pipeline.train_examples(SOURCE, preprocess, seed=3)
  rows = np.arange(8).reshape(num_processes, -1)
  shares = [batch_layout.train_batches(examples, 8, r.tolist()) for r in rows]
  for i in range(7):  # crosses epochs of 10
    local = [share[i] for share in shares]
    for key in ('id', 'draw'):
      found = np.concatenate([batch[key] for batch in local])
      expected = [examples[8 * i + row][key] for row in range(8)]
      np.testing.assert_array_equal(found, expected)
    assert all((batch['mask'] == 1).all() for batch in local)


@pytest.mark.parametrize('before, after', [(1, 4), (4, 2)])
def test_an_epoch_survives_a_change_of_process_count(before, after):
  examples = pipeline.train_examples(SOURCE * 4, preprocess, seed=3)
  seen = []
  for i in range(5):  # 40 examples in 5 batches of 8
    for rows in np.arange(8).reshape(before if i < 2 else after, -1):
      share = batch_layout.train_batches(examples, 8, rows.tolist())
      seen += list(share[i]['draw'])
  whole = [examples[i]['draw'] for i in range(40)]
  assert seen == whole


@pytest.mark.parametrize('num_threads', [0, 3])
def test_resumes_with_the_very_next_batch(num_threads):
  whole = take(
    pipeline.make_train_iterator(config(), seed=1, sharding=sharding()), 8
  )
  iterator = pipeline.make_train_iterator(
    config(num_threads=num_threads), seed=1, sharding=sharding()
  )
  assert iterator.get_state()['next_batch'] == 0
  assert_same(take(iterator, 3), whole[:3])
  state = json.loads(json.dumps(iterator.get_state()))
  assert state['next_batch'] == 3, 'prefetched batches are not taken ones'
  resumed = pipeline.make_train_iterator(
    config(num_threads=num_threads), seed=1, sharding=sharding()
  )
  resumed.set_state(state)
  assert_same(take(resumed, 5), whole[3:])
  resumed.set_state({'next_batch': 1})  # backwards, in mid-stream
  assert_same(take(resumed, 2), whole[1:3])


@pytest.mark.parametrize(
  'seed, options, expected',
  [
    (2, {}, 'config.seed: found 2; .* with 1,'),
    (1, {'batch_size': 24}, 'config.data.batch_size: found 24; .* with 12,'),
    (1, {'split': 'test'}, r'config.data \(module, split.* with another,'),
  ],
)
def test_another_order_is_named(seed, options, expected):
  state = pipeline.make_train_iterator(
    config(), seed=1, sharding=sharding()
  ).get_state()
  other = pipeline.make_train_iterator(
    config(**options), seed=seed, sharding=sharding()
  )
  with pytest.raises(ValueError, match=f'^{expected}.*--data_may_differ'):
    other.set_state(state)
  other.set_state(state, may_differ=True)


@pytest.mark.full
def test_worker_processes_change_nothing():
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  alone = pipeline.make_train_iterator(config(), seed=1, sharding=sharding())
  helped = pipeline.make_train_iterator(
    config(num_workers=2), seed=1, sharding=sharding()
  )
  helped.set_state({'next_batch': 1})
  assert_same(take(helped, 3), take(alone, 4)[1:])


@pytest.mark.parametrize('num_processes', [1, 2, 4])
def test_evaluation_sees_every_example_once(num_processes):
  examples = pipeline.grain.MapDataset.range(9).map(
    lambda i: {'id': np.int32(i + 1)}
  )
  rows = np.arange(8).reshape(num_processes, -1)
  shares = [batch_layout.eval_batches(examples, 8, r.tolist()) for r in rows]
  assert {len(share) for share in shares} == {2}
  for i, real in enumerate((8, 1)):
    ids = np.concatenate([share[i]['id'] for share in shares])
    mask = np.concatenate([share[i]['mask'] for share in shares])
    np.testing.assert_array_equal(mask, np.arange(8) < real)
    np.testing.assert_array_equal(ids, (8 * i + np.arange(8) + 1) * mask)
    assert ids.dtype == np.int32 and mask.dtype == np.float32


def test_eval_batches_are_padded_and_re_iterable():
  batches = pipeline.make_eval_batches(config(), sharding=sharding())
  first, second = list(batches), list(batches)
  assert batches.num_examples == 256 and len(first) == len(batches) == 22
  assert_same(first, second)
  assert sum(float(batch['mask'].sum()) for batch in first) == 256
  images = np.concatenate([batch['image'] for batch in first])[:256]
  expected = [e['image'] for e in digits.synthetic('train')]
  np.testing.assert_allclose(images, np.stack(expected) / 8 - 1, atol=1e-6)


def test_element_spec_describes_the_batches_and_takes_none():
  iterator = pipeline.make_train_iterator(config(), seed=1, sharding=sharding())
  evaluation = pipeline.make_eval_batches(config(), sharding=sharding())
  for batches in (iterator, evaluation):
    spec = batches.element_spec

    def check(spec, x):
      assert (spec.shape, spec.dtype) == (x.shape, x.dtype)
      assert spec.sharding.is_equivalent_to(x.sharding, x.ndim)

    jax.tree.map(check, spec, next(iter(batches)))
  assert iterator.get_state()['next_batch'] == 1


def test_preprocess_gets_the_options_of_the_config():
  changes = dict(module='data.images.mnist5k', preprocess=dict(degrees=90.0))
  turned = pipeline.make_train_iterator(
    config(**changes), seed=1, sharding=sharding()
  )
  plain = pipeline.make_train_iterator(
    config(module='data.images.mnist5k'), seed=1, sharding=sharding()
  )
  a, b = next(turned), next(plain)
  np.testing.assert_array_equal(a['label'], b['label'])
  assert not np.array_equal(a['image'], b['image'])


def test_bad_configs_are_named():
  with pytest.raises(ValueError, match="config.data.source: .* 'tfd'"):
    pipeline.make_eval_batches(config(source='tfd'), sharding=sharding())
  mesh = AbstractMesh((4, 2), ('data', 'model'))
  split = NamedSharding(mesh, PartitionSpec('data'))
  with pytest.raises(ValueError, match='batch_size: expected a multiple of 4'):
    batch_layout.local_rows(split, 6)
  with pytest.raises(ValueError, match="'mask' is the pipeline's own"):
    pipeline.EvalBatches(
      pipeline.grain.MapDataset.range(3).map(lambda i: {'mask': np.int32(i)}),
      config(),
      sharding(),
    )


# Each of two processes with two devices prints the rows of a 2 x 2 mesh that it
# has, by the axis that splits the batch.
_PROCESS = """
import sys, json, jax, numpy as np
jax.config.update('jax_platforms', 'cpu')
jax.config.update('jax_num_cpu_devices', 2)
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from jax.sharding import AxisType, NamedSharding, PartitionSpec
sys.path.insert(0, 'tests')
from test_train_lib_pipeline import config
from train_lib import checks, pipeline
mesh = jax.make_mesh((2, 2), ('a', 'b'), axis_types=(AxisType.Auto,) * 2)
found = {}
for axes in ('a', 'b', ('a', 'b')):
  sharding = NamedSharding(mesh, PartitionSpec(axes))
  iterator = pipeline.make_train_iterator(config(), seed=1, sharding=sharding)
  batch = next(iterator)['image']
  assert batch.shape == (12, 8, 8, 1)
  found[str(axes)] = [
    (s.index[0].start or 0, np.asarray(s.data).tolist())
    for s in batch.addressable_shards
  ]
print('FOUND' + json.dumps(found))
"""


@pytest.mark.full
def test_two_real_processes_assemble_one_batch():
  with socket.socket() as s:
    s.bind(('localhost', 0))
    address = f'localhost:{s.getsockname()[1]}'
  processes = [
    subprocess.Popen(
      [sys.executable, '-c', _PROCESS, address, str(i)],
      stdout=subprocess.PIPE,
      env={**os.environ, 'PYTHONPATH': '.', 'XLA_FLAGS': ''},
      cwd=os.path.dirname(os.path.dirname(__file__)),
      text=True,
    )
    for i in range(2)
  ]
  found = []
  for process in processes:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    found.append(json.loads(output.split('FOUND')[1]))
  expected = np.asarray(
    next(pipeline.make_train_iterator(config(), seed=1, sharding=sharding()))[
      'image'
    ]
  )
  for axes, rows_per_process in (('a', 6), ('b', 12), ("('a', 'b')", 6)):
    for shards in (f[axes] for f in found):
      rows = set()
      for start, data in shards:
        np.testing.assert_array_equal(data, expected[start:][: len(data)])
        rows |= set(range(start, start + len(data)))
      assert len(rows) == rows_per_process


def test_batches_of_a_group_hold_every_example_of_the_stream_once():
  """The group is drawn: it must be that of the example, also elsewhere."""

  def group(example, *, rng):
    return rng.random() < 0.3

  examples = pipeline.train_examples(SOURCE, preprocess, seed=3)
  groups = pipeline.train_examples(SOURCE, group, seed=3)
  batches = batch_layout.train_batches(examples, 4, range(4), groups)
  found = [batches[i] for i in (30, *range(30))][1:]
  for batch in found:
    assert len(set(batch['draw'] < 0.3)) == 1
  draws = np.concatenate([batch['draw'] for batch in found])
  stream = [float(examples[i]['draw']) for i in range(130)]
  assert len(set(draws)) == 120 and set(draws.tolist()) < set(stream)
  # Processes hold rows of the same batches.
  share = batch_layout.train_batches(examples, 4, [2, 3], groups)
  for i in (5, 0):
    assert_same([share[i]], [jax.tree.map(lambda x: x[2:], found[i])])
