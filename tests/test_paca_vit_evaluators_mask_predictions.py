"""Masks of predict.py are those that the evaluation counts."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from configs.paca_vit import ade20k, brain, finetune_segmentation
from paca_vit.evaluators import mask_predictions, segmentation
from tests import odd_images
from train_lib import pipeline, run_files, sharding
from train_lib.train_state import TrainState

CLASSES = ('dark', 'bright', 'never')


@dataclasses.dataclass(frozen=True)
class Threshold:
  """Bright pixels are class 1, by a scale that is the model's."""

  num_classes: int = 3

  def predict(self, variables, batch):
    light = batch['image'].mean(-1) * variables['params']
    never = jnp.full_like(light, -9.0)
    return {'logits': jnp.stack([-light, light, never], axis=-1)}


VARIABLES = {'params': jnp.float32(1.5)}


@pytest.fixture
def folder(tmp_path):
  """Scenes of several sizes, one of them stored lying on its side."""
  rng = np.random.default_rng(0)
  for kind in ('images', 'masks'):
    (tmp_path / 'test' / kind).mkdir(parents=True)
  (tmp_path / 'classes.txt').write_text('\n'.join(CLASSES))
  for i, (width, height) in enumerate([(90, 60), (64, 64), (50, 70), (90, 60)]):
    noise = PIL.Image.fromarray(rng.integers(0, 256, (5, 6), dtype=np.uint8))
    grey = np.asarray(noise.resize((width, height), PIL.Image.BICUBIC))
    exif, stored = PIL.Image.Exif(), grey
    if i == 3:
      exif[274], stored = 6, np.rot90(grey)
    image = PIL.Image.fromarray(odd_images.rgb(stored))
    image.save(tmp_path / f'test/images/{i}.png', exif=exif)
    mask = (grey > 140).astype(np.uint8)
    mask[:5, :5] = 255
    PIL.Image.fromarray(mask).save(tmp_path / f'test/masks/{i}.png')
  return tmp_path


def make_config(folder, window=None, stride=None):
  config = finetune_segmentation.get_config('tiny')
  config.data.source = 'synthetic'
  config, _ = run_files.derived(config)
  config = config.copy_and_resolve_references().unlock()
  config.data.data_dir, config.data.source = str(folder), 'real'
  test = config.evals.test
  test.window, test.stride = window, stride
  config.model.num_classes = 3
  return config


@pytest.mark.parametrize('windows', [(None, None), ((32, 32), (20, 20))])
def test_masks_are_what_the_evaluation_counts(folder, windows):
  config = make_config(folder, *windows)
  mesh = sharding.make_mesh(config.mesh)
  task = Threshold()
  data = pipeline.inherited(config.data, config.evals.test.data)
  evaluator = segmentation.SegmentationEvaluator(
    task, pipeline.eval_examples(data), mesh, *windows
  )
  params = VARIABLES['params']
  state = TrainState(step=0, params=params, model_state={}, opt_state=())
  expected = evaluator.run(state)

  kind = mask_predictions.make_predictions(config, CLASSES)
  hits = total = 0
  for path in kind.expand(str(folder / 'test/images')):
    example = kind.example(path)
    batch = {'image': example['image'][None]}
    output = np.asarray(kind.outputs(task, VARIABLES, batch))[0]
    values, pictures = kind.result(path, output)
    mask = np.asarray(pictures['.png'])
    labels = np.asarray(PIL.Image.open(folder / f'test/masks/{path.stem}.png'))
    assert mask.shape == labels.shape
    hits += (mask == labels)[labels != 255].sum()
    total += (labels != 255).sum()
    assert values['bright'] == pytest.approx((mask == 1).mean(), abs=1e-6)
    assert 'never' not in values
  assert hits / total == pytest.approx(expected['accuracy'], abs=1e-6)
  assert expected['accuracy'] > 0.8


def test_pictures_open_as_they_should(folder):
  kind = mask_predictions.make_predictions(make_config(folder), CLASSES)
  path = folder / 'test/images/0.png'
  logits = np.zeros((32, 48, 3), np.float32)
  logits[:, :24, 0] = logits[:, 24:, 1] = 1
  values, pictures = kind.result(path, logits)
  assert values == {'dark': 0.5, 'bright': 0.5}
  assert pictures['.png'].mode == 'P' and pictures['.png'].size == (90, 60)
  picture = np.asarray(PIL.Image.open(path).convert('RGB')).astype(float)
  colours = np.asarray(pictures['.png'].convert('RGB')).astype(float)
  assert len(np.unique(colours.reshape(-1, 3), axis=0)) == 2
  overlay = np.asarray(pictures['_overlay.png'])
  np.testing.assert_allclose(overlay, (picture + colours) / 2, atol=1)


@pytest.mark.parametrize('config', [ade20k, brain], ids=['ade20k', 'brain'])
def test_other_data_sets_take_users_pictures_too(folder, config):
  config = config.get_config()
  kind = mask_predictions.make_predictions(config, None)
  image = kind.example(folder / 'test/images/0.png')['image']
  assert image.ndim == 3 and image.shape[-1] == config.model.in_channels
  with pytest.raises(ValueError, match='nowhere.png: '):
    kind.example(folder / 'nowhere.png')
