"""COCO's recipe by its figures; what the command line says once holds twice."""

import json
import pathlib
import re

import jax
import pytest

from configs.paca_vit import coco, finetune_detection
from paca_vit import variants
from train_lib import evaluators, optim, sharding
from train_lib.task import make_task

GOLDEN = pathlib.Path(__file__).parent / 'golden' / 'detection'


def names_of(config):
  batch = {
    'image': jax.ShapeDtypeStruct((1, 64, 64, 3), 'float32'),
    'image_size': jax.ShapeDtypeStruct((1, 2), 'int32'),
  }
  init = make_task(config).init
  params = jax.eval_shape(init, jax.random.key(0), batch)['params']
  paths = jax.tree_util.tree_flatten_with_path(params)[0]
  return [sharding.path_name(path) for path, _ in paths]


@pytest.mark.full
def test_what_decays_is_what_decays_for_the_authors():
  """279 tensors of tiny, 72 of them named norm: specs_summary.json."""
  config = coco.get_config('tiny_p2cconv_100_0')
  names = names_of(config)
  (pattern,) = config.optim.decay_exclude
  free = [name for name in names if re.search(pattern, name)]
  assert (len(names), len(free)) == (279, 72)
  teacher = names_of(coco.get_config('convmixer_small_100'))
  norms = [x for x in teacher if 'teacher/' in x and 'norm' in x]
  assert norms and not [x for x in norms if re.search(pattern, x)]


def test_learning_rates_are_the_schedules():
  config = coco.get_config()
  rate = optim.make_schedule(config.optim.schedule, config.num_steps)
  epoch = config.num_steps // 12
  for step, expected in (
    (0, 1e-7),
    (1, 3.002e-7),
    (499, 1e-4),
    (8 * epoch - 1, 1e-4),
    (8 * epoch, 1e-5),
    (11 * epoch, 1e-6),
  ):
    assert float(rate(step)) == pytest.approx(expected, rel=1e-5)


def test_twelve_variants_are_published():
  summary = json.loads((GOLDEN / 'specs_summary.json').read_text())
  published = set(variants.CLASSIFIERS) - {'convmixer_tiny_100'}
  assert len(published) == 12 and str(31_974_896) in json.dumps(summary)
  for variant in published:
    config = coco.get_config(variant)
    classifier = variants.CLASSIFIERS[variant]
    assert config.model.num_clusters == classifier['num_clusters']
    assert config.model.drop_path_rate == 0.1  # base, too
  with pytest.raises(ValueError, match='convmixer_tiny_100'):
    coco.get_config('convmixer_tiny_100')


@pytest.mark.parametrize('module', [coco, finetune_detection])
def test_folder_and_classes_are_said_once(module):
  config = module.get_config().lock()
  config.data.data_dir, config.model.num_classes = '/mine', 3
  (evaluation,) = evaluators.sections(config).values()
  assert evaluation.data.data_dir == '/mine'
  assert evaluation.data.preprocess.num_classes == 3
  assert config.data.preprocess.num_classes == 3
