"""PyTorch's side of each row, as its users would write it."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Pass = Callable[[], Any]


def perceiver(name: str, batch_size: int, mode: str, compiled: bool) -> Pass:
  """A class of `transformers` at the published sizes, in float32."""
  import torch
  import transformers

  torch.manual_seed(0)
  if name == 'PerceiverForMaskedLM':
    sizes = dict(qk_channels=256, v_channels=1280)
    labels = inputs = torch.randint(6, 262, (batch_size, 2048))
  elif name == 'PerceiverForOpticalFlow':
    sizes = dict(
      d_model=322,
      num_latents=2048,
      d_latents=512,
      num_blocks=1,
      num_self_attends_per_block=24,
      num_self_attention_heads=16,
      num_cross_attention_heads=1,
      train_size=(368, 496),
    )
    labels, inputs = None, torch.randn(batch_size, 2, 27, 368, 496)
  else:
    sizes = dict(
      num_latents=512,
      d_latents=1024,
      num_blocks=8,
      num_self_attends_per_block=6,
      num_self_attention_heads=8,
      num_cross_attention_heads=1,
      num_labels=1000,
    )
    inputs = torch.randn(batch_size, 3, 224, 224)
    labels = torch.randint(1000, (batch_size,))
  config = transformers.PerceiverConfig(**sizes)
  model = getattr(transformers, name)(config)
  called = torch.compile(model) if compiled else model
  if mode == 'train':
    return _training(model, lambda: called(inputs=inputs, labels=labels).loss)
  if mode == 'loss':
    return _predicting(model, lambda: called(inputs=inputs, labels=labels).loss)
  return _predicting(model, lambda: called(inputs=inputs).logits)


def start_up() -> Pass:
  """Starts a program anew that makes a model of `transformers`, its optimizer
  and a batch, up to where its first step would be."""
  return lambda: subprocess.run(
    [sys.executable, '-c', _PROGRAM], check=True, stdout=subprocess.DEVNULL
  )


_PROGRAM = """
import torch, transformers
model = transformers.PerceiverForMaskedLM(
  transformers.PerceiverConfig(qk_channels=256, v_channels=1280)
)
optimizer = torch.optim.AdamW(model.parameters(), fused=True)
batches = torch.utils.data.DataLoader([torch.zeros(2048)] * 8, batch_size=8)
next(iter(batches))
"""


def paca(
  variant: str,
  batch_size: int,
  mode: str,
  channels_last: bool,
  compiled: bool,
  keep_freed: bool = False,
) -> Pass:
  """`TorchPaca` at 224 x 224, in float32.

  Args:
    keep_freed: with glibc set as our programs set it, see `host_memory`.
  """
  import torch

  from benchmarks.peers import torch_paca
  from paca_vit import variants
  from train_lib import host_memory

  if keep_freed:
    host_memory.keep_freed()
  torch.manual_seed(0)
  model = torch_paca.TorchPaca(variants.CLASSIFIERS[variant], channels_last)
  images = torch.randn(batch_size, 3, 224, 224)
  labels = torch.randint(1000, (batch_size,))
  if channels_last:
    model = model.to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)
  called = torch.compile(model) if compiled else model
  if mode == 'train':

    def loss():
      return torch.nn.functional.cross_entropy(
        called(images), labels, label_smoothing=0.1
      )

    return _training(model, loss)
  return _predicting(model, lambda: called(images))


def _predicting(model, outputs) -> Pass:
  import torch

  model.eval()

  def predict():
    with torch.inference_mode():
      return outputs()

  return predict


def _training(model, loss) -> Pass:
  import torch

  model.train()
  optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

  def train():
    loss().backward()
    optimizer.step()
    optimizer.zero_grad()

  return train


def pipeline(files: Sequence[bytes], recipe: str) -> Pass:
  """What timm's transforms do, with Pillow and PyTorch, on this thread.

  timm itself needs torchvision. The steps are those of its recipes for
  training: decode whole, RGB, random resized crop (bicubic), flip, RandAugment
  by Pillow, a tensor of floats with channels first, normalised. In the
  Perceiver's recipe the crop is resized last, by PyTorch.
  """
  import io

  import PIL.Image
  import torch

  from benchmarks.peers import ours
  from data import image_ops
  from data.images import imagenet

  rng = np.random.default_rng(0)
  options = ours.RECIPES[recipe]
  size, resize_last = options['image_size'], options.get('resize_last')
  augment = None
  if 'augment' in options:
    augment = imagenet.make_augment(options['augment'])
  mean, std = (
    torch.tensor(x).view(3, 1, 1)
    for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
  )
  bounds = dict(scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))

  def one(file):
    image = PIL.Image.open(io.BytesIO(file)).convert('RGB')
    left, top, width, height = image_ops.crop_box(image.size, rng, **bounds)
    box = (left, top, left + width, top + height)
    crop = image.crop(box)
    if not resize_last:
      crop = crop.resize((size, size), PIL.Image.BICUBIC)
    crop = image_ops.random_flip(crop, rng)
    if augment is not None:
      crop = augment(crop, rng)
    x = torch.from_numpy(np.array(crop)).permute(2, 0, 1).contiguous()
    if resize_last:
      x = torch.nn.functional.interpolate(
        x[None].float(), (size, size), mode='bicubic'
      )[0]
    return x.float().div_(255).sub_(mean).div_(std)

  def each():
    for file in files:
      one(file)

  return each
