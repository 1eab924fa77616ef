"""tools.export.card: under which names weights are written, and read back."""

import jax
import numpy as np
import pytest

import paca_vit
from configs.paca_vit import imagenet
from configs.perceiver_io import masked_language_modelling
from perceiver_io import names as perceiver_names
from tests.exported_runs import make_run
from tools.export import card, describe, run
from train_lib import run_files


def load(config, folder):
  path = make_run(folder, config)
  return path, run.load(run_files.read_config(path), path)


def test_safetensors_of_a_perceiver_have_hugging_faces_names(tmp_path):
  path, exported = load(masked_language_modelling.get_config('tiny'), tmp_path)
  tensors, whose = card.named(exported)
  assert whose == "Hugging Face's"
  found = perceiver_names.from_published(tensors, exported.variables, None)
  jax.tree.map(np.testing.assert_array_equal, found, exported.variables)


@pytest.mark.full
def test_a_published_size_is_read_back_by_the_library(tmp_path):
  name = 'tiny_p2cconv_100_0'
  path, exported = load(imagenet.get_config(name), tmp_path / 'run')
  about = describe.describe(exported, path, None)
  card.write(exported, tmp_path, about, path)
  _, variables = paca_vit.load(name, tmp_path / 'model.safetensors')
  jax.tree.map(np.testing.assert_array_equal, variables, exported.variables)
