"""`transformers` loads what `tools.export --format=safetensors` writes.

make parity
"""

import json

import jax
import numpy as np
import pytest
import torch
import transformers

import perceiver_io
from configs.perceiver_io import imagenet, masked_language_modelling
from tests.exported_runs import make_run
from tools import zoo
from tools.export import card, describe, run
from train_lib import run_files


def exported(config, folder, classes=None):
  """The run's `Exportable`, and its folder as the hub would have it."""
  workdir = make_run(folder / 'run', config, classes)
  exportable = run.load(run_files.read_config(workdir), workdir)
  about = describe.describe(exportable, workdir, None)
  (folder / 'hub').mkdir()
  printed = card.write(exportable, folder / 'hub', about, workdir)
  assert 'transformers.Perceiver' in printed
  return exportable, folder / 'hub'


def load(cls, folder):
  module, info = cls.from_pretrained(folder, output_loading_info=True)
  for problem, found in info.items():
    assert not found, (problem, found)
  return module.eval()


def language_model():
  config = masked_language_modelling.get_config('tiny')
  config.model.update(qk_channels=256, num_heads=8, num_self_attends=2)
  return config


def test_language_model(tmp_path):
  exportable, folder = exported(language_model(), tmp_path)
  module = load(transformers.PerceiverForMaskedLM, folder)
  inputs = exportable.batch(2)
  inputs['input_mask'][1, 40:] = 0
  with torch.no_grad():
    found = module(
      inputs=torch.tensor(inputs['ids'].astype(np.int64)),
      attention_mask=torch.tensor(inputs['input_mask'].astype(np.int64)),
    ).logits.numpy()
  expected = np.asarray(exportable.predict(inputs)['logits'])
  present = inputs['input_mask'] > 0
  assert np.abs(expected).max() > 1
  np.testing.assert_allclose(found[present], expected[present], atol=1e-5)


def test_classifier_of_pixels(tmp_path):
  config = imagenet.get_config('fourier')
  config.model.encoder.update(
    num_latents=16,
    latent_channels=32,
    num_blocks=2,
    num_self_attends_per_block=2,
  )
  config.model.decoder.query_channels = 32
  config.model.num_classes = 3
  config.data.preprocess.image_size = 32
  names = ['cat', 'dog', 'fox']
  exportable, folder = exported(config, tmp_path, names)
  module = load(transformers.PerceiverForImageClassificationFourier, folder)
  assert [module.config.id2label[i] for i in range(3)] == names
  images = exportable.batch(2)['image']
  with torch.no_grad():
    pixels = torch.tensor(images.transpose(0, 3, 1, 2).copy())
    found = module(pixel_values=pixels).logits.numpy()
  expected = np.asarray(exportable.predict({'image': images})['logits'])
  assert np.abs(expected).max() > 0.1
  # PyTorch's Fourier features are of float32 here.
  np.testing.assert_allclose(found, expected, atol=1e-3)


def test_our_loader_reads_it_back(tmp_path):
  exportable, folder = exported(language_model(), tmp_path)
  _, variables = perceiver_io.load('mlm', folder / 'model.safetensors')
  jax.tree.map(np.testing.assert_array_equal, variables, exportable.variables)


def test_the_zoos_language_model():
  folder = zoo.folder('masked_bytes')
  module = load(transformers.PerceiverForMaskedLM, folder)
  model, variables = perceiver_io.load('mlm', folder / zoo.WEIGHTS)
  ids = np.random.default_rng(0).integers(6, 262, (2, 64))
  inputs = torch.tensor(ids)
  with torch.no_grad():
    theirs = module(inputs=inputs).logits.numpy()
    exact = module.double()(inputs=inputs).logits.numpy()
  assert np.abs(exact).max() > 1
  with jax.enable_x64(True):
    double = jax.tree.map(np.float64, variables)
    found = np.asarray(model.apply(double, ids))
  np.testing.assert_allclose(found, exact, rtol=0, atol=1e-10)
  # In float32 logits of 150 are rounded: no worse than in transformers.
  ours = np.asarray(model.apply(variables, ids))
  errors = [np.sqrt(np.mean((x - exact) ** 2)) for x in (ours, theirs)]
  assert errors[0] < 1.5 * errors[1] < 1e-4


@pytest.mark.parametrize('change', [dict(num_heads=4), dict(qk_channels=64)])
def test_no_config_of_a_model_that_transformers_lacks(change, tmp_path):
  config = language_model()
  config.model.update(change)
  with pytest.raises(AssertionError):
    exported(config, tmp_path)
  assert not (tmp_path / 'hub' / 'config.json').exists()
  found = json.loads((tmp_path / 'hub' / 'model.json').read_text())
  assert found['transformers'] is None
