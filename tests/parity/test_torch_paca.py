"""The PaCa-ViT of PyTorch that ours is timed against is the authors'.

make parity
"""

import numpy as np
import pytest
import torch

from benchmarks.peers.torch_paca import TorchPaca
from paca_vit import variants
from tests import golden_paca


@pytest.mark.parametrize('channels_last', [False, True])
def test_logits_are_those_of_the_authors_code(channels_last):
  sizes = variants.CLASSIFIERS['tiny_p2cconv_100_0']
  model = TorchPaca(sizes, channels_last).eval()
  shapes = {name: x.shape for name, x in model.state_dict().items()}
  tensors = golden_paca.state_dict(shapes)
  model.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
  images = golden_paca.images(2, 64, 64).transpose(0, 3, 1, 2)
  images = torch.from_numpy(np.ascontiguousarray(images))
  if channels_last:
    images = images.contiguous(memory_format=torch.channels_last)
  with torch.inference_mode():
    logits = model(images).numpy()
  golden = np.load(golden_paca.FOLDER / 'tiny_p2cconv_100_0_64x64.npz')
  np.testing.assert_allclose(logits, golden['logits_f64'], atol=3e-5)
