"""What we write is what PyTorch and `transformers` read.

make parity
"""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers

from perceiver_io import models, names
from perceiver_paca.weights import files, torch_files
from tests import golden_paca, test_library


def test_hugging_faces_loader_takes_our_files(tmp_path):
  """Without a complaint, and it computes what our model does."""
  model = models.masked_language_modelling(**test_library.SIZES)
  ids = np.random.default_rng(0).integers(6, 262, (2, 16))
  variables = golden_paca.random_variables(
    jax.eval_shape(model.init, jax.random.key(0), jnp.asarray(ids))
  )
  files.save_safetensors(
    str(tmp_path / 'model.safetensors'),
    names.to_hugging_face(variables),
  )
  transformers.PerceiverConfig(
    hidden_act='gelu_pytorch_tanh', **test_library.CONFIG
  ).save_pretrained(tmp_path)
  module, info = transformers.PerceiverForMaskedLM.from_pretrained(
    tmp_path, output_loading_info=True
  )
  for problem, found in info.items():
    assert not found, (problem, found)
  with torch.no_grad():
    found = module.eval()(inputs=torch.tensor(ids)).logits.numpy()
  expected = np.asarray(model.apply(variables, jnp.asarray(ids)))
  assert np.abs(expected).max() > 1
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_pytorchs_loader_takes_our_files(tmp_path):
  tensors = {
    'a.weight': np.arange(12, dtype=np.float32).reshape(2, 3, 2).swapaxes(0, 1),
    'a.bias': np.ones(3, np.float16),
    'a.num_batches_tracked': np.array(7, np.int64),
  }
  path = tmp_path / 'x.pth'
  torch_files.save(str(path), tensors)
  found = torch.load(path, weights_only=True)
  assert list(found) == list(tensors)
  for name, x in tensors.items():
    assert found[name].is_contiguous()
    assert str(x.dtype) in str(found[name].dtype)
    np.testing.assert_array_equal(found[name].numpy(), x)
