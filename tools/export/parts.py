"""What an exported `predict.py` is put together from, as source.

So these functions need numpy, Pillow and a runtime alone, and nothing of this
module's. `model` is what model.json holds, see `describe`.

Shapes: H, W of an image, K classes, D detections, M tokens, V ids.
"""

import pathlib

import numpy as np
from PIL import Image, ImageOps


def short_side(picture, rule):
  """The short side resized, then the centre."""
  (height, width), short = picture.size[::-1], rule['short']
  size = (short, int(short * height / width))
  if width > height:
    size = (int(short * width / height), short)
  picture = picture.resize(size, Image.Resampling.BICUBIC)
  height, width = rule['size']
  left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
  return picture.crop((left, top, left + width, top + height))


def central_square(picture, rule):
  """The central square, resized bicubically without a low-pass filter."""
  side = int(rule['fraction'] * min(picture.size))
  left, top = ((n - side + 1) // 2 for n in picture.size)
  square = picture.crop((left, top, left + side, top + side))

  def weights(size):
    centres = (np.arange(size)[:, None] + 0.5) * side / size - 0.5
    x = np.abs(centres - np.arange(side))
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2
    x = np.where(x <= 1, near, np.where(x < 2, far, 0))
    return x / x.sum(1, keepdims=True)

  rows, columns = map(weights, rule['size'])
  columns = np.einsum('wW,HWC->HwC', columns, np.asarray(square))
  return np.einsum('hH,HwC->hwC', rows, columns)


def stretch(picture, rule):
  """All of it, resized to the model's height and width."""
  return picture.resize(rule['size'][::-1], Image.Resampling.BICUBIC)


def normalised(pixels, rule):
  """Float32 [H, W, C] of pixels from 0 to 255."""
  pixels = np.asarray(pixels, np.float64).reshape(*rule['size'], -1)
  return np.float32((pixels / 255 - rule['mean']) / rule['std'])


def read_pictures(arguments, model, resized):
  """Each picture's name, and what the model takes of it."""
  rule = model['picture']
  for path in arguments:
    picture = ImageOps.exif_transpose(Image.open(path)).convert(rule['mode'])
    yield path, {'image': normalised(resized(picture, rule), rule)}


def read_frames(arguments, model, resized):
  """The flow from the first picture to the second."""
  rule = model['picture']
  frames = [
    normalised(resized(Image.open(path).convert('RGB'), rule), rule)
    for path in arguments
  ]
  yield arguments[0], {'frames': np.stack(frames)}


def read_canvas(arguments, model):
  """Pictures as large as the canvas lets them be, at its upper left."""
  rule = model['picture']
  for path in arguments:
    picture = ImageOps.exif_transpose(Image.open(path)).convert('RGB')
    factor = min(
      n / m for n, m in zip(rule['size'], picture.size[::-1], strict=True)
    )
    width, height = (max(1, round(n * factor)) for n in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    image = np.zeros((*rule['size'], 3), np.float32)
    inner = dict(rule, size=[height, width])
    image[:height, :width] = normalised(picture, inner)
    yield path, {'image': image, 'image_size': np.int32([height, width])}


def read_text(arguments, model):
  """A text, or two: bytes as ids; [MASK] is a byte to be guessed."""
  rule = model['text']
  room = rule['length'] - len(rule['begin']) - (len(arguments) - 1)
  texts = []
  for text in arguments:
    parts = [list(x.encode()) for x in text.split('[MASK]')]
    ids = [i + rule['first_byte'] for i in parts[0]]
    for part in parts[1:]:
      ids += [rule['mask'], *(i + rule['first_byte'] for i in part)]
    texts.append(ids)
  while sum(map(len, texts)) > room:
    max(texts, key=len).pop()
  ids = rule['begin'] + texts[0]
  for text in texts[1:]:
    ids += [rule['separator'], *text]
  inputs = {name: np.int32(x) for name, x in rule['constants'].items()}
  inputs['ids'] = np.zeros(rule['length'], np.int32)
  inputs['input_mask'] = np.zeros(rule['length'], np.float32)
  inputs['ids'][: len(ids)], inputs['input_mask'][: len(ids)] = ids, 1
  yield ' '.join(arguments), inputs


def read_places(arguments, model):
  """Each .npz file's example: x [M, C], coordinates [M, D], and maybe mask [M]
  and queries [O, D]; M is filled up to what the model takes."""
  rule = model['arrays']
  low, high = np.asarray(rule['low']), np.asarray(rule['high'])
  size = model['inputs']['x']['shape'][0]
  for path in arguments:
    with np.load(path) as found:
      arrays = {name: found[name] for name in found}
    mask = arrays.get('mask', np.ones(len(arrays['x'])))[:, None]
    places = {
      name: 2 * (arrays[name] - low) / np.where(high > low, high - low, 1) - 1
      for name in ('coordinates', 'queries')
      if name in arrays
    }
    inputs = {
      'x': (arrays['x'] - np.asarray(rule['mean'])) / rule['std'] * mask,
      'coordinates': places['coordinates'] * mask,
      'input_mask': mask[:, 0],
    }
    for name, x in inputs.items():
      room = [(0, size - len(x))] + [(0, 0)] * (x.ndim - 1)
      inputs[name] = np.pad(x, room)
    inputs |= {k: x for k, x in places.items() if k == 'queries'}
    yield path, {k: np.float32(x) for k, x in inputs.items()}


def read_arrays(arguments, model):
  """Each .npz file's arrays, of one example, without a batch dimension."""
  for path in arguments:
    with np.load(path) as arrays:
      yield path, {name: arrays[name] for name in model['inputs']}


def tell_classes(name, outputs, model):
  """The five likeliest classes and their probabilities."""
  x = outputs['logits'].astype(np.float64)
  x = np.exp(x - x.max())
  for i in np.argsort(-x, kind='stable')[:5]:
    label = model['labels'][i] if model['labels'] else i
    print(f'{name}  {label}  {x[i] / x.sum():.6f}')


def tell_mask(name, outputs, model):
  """Each class's share; the mask is a file, a class's number for each pixel."""
  classes = outputs['logits'].argmax(-1).astype(np.uint8)
  for i, share in enumerate(np.bincount(classes.ravel()) / classes.size):
    label = model['labels'][i] if model['labels'] else i
    print(f'{name}  {label}  {share:.6f}')
  path = pathlib.Path(name).with_suffix('.mask.png')
  size = Image.open(name).size
  Image.fromarray(classes).resize(size, Image.Resampling.NEAREST).save(path)


def tell_depth(name, outputs, model):
  """The range of depths; the map is a file of 16 bits, in millimetres."""
  depth = outputs['depth']
  print(f'{name}  {depth.min():.3f} to {depth.max():.3f} metres')
  path = pathlib.Path(name).with_suffix('.depth.png')
  Image.fromarray(np.uint16(np.clip(depth * 1000, 0, 65535))).save(path)


def tell_flow(name, outputs, model):
  """The mean motion, of x and y in pixels; the field is a file."""
  print(name, *outputs['flow'].mean((0, 1)).round(3))
  np.save(pathlib.Path(name).with_suffix('.flow.npy'), outputs['flow'])


def tell_boxes(name, outputs, model):
  """Objects with a score of 0.3 or more: x1, y1, x2, y2 in the picture."""
  size = Image.open(name).size[::-1]
  factor = min(
    n / m for n, m in zip(model['picture']['size'], size, strict=True)
  )
  for i in np.flatnonzero(outputs['valid'] & (outputs['scores'] >= 0.3)):
    k = outputs['classes'][i]
    label = model['labels'][k] if model['labels'] else k
    box = (outputs['boxes'][i] / factor).round(1).tolist()
    print(f'{name}  {label}  {outputs["scores"][i]:.3f}  {box}')


def tell_blanks(name, outputs, model):
  """The text with every [MASK] as its likeliest byte."""
  first = model['text']['first_byte']
  guesses = outputs['logits'][:, first:].argmax(-1).astype(np.uint8)
  parts = [x.encode() for x in name.split('[MASK]')]
  text = parts[0]
  for part in parts[1:]:
    text += guesses[len(text)].tobytes() + part
  print(text.decode(errors='replace'))


def tell_arrays(name, outputs, model):
  """The outputs' shapes; they are a file."""
  for key, x in outputs.items():
    print(f'{name}  {key} {x.dtype}{list(x.shape)}')
  np.savez(pathlib.Path(name).with_suffix('.out.npz'), **outputs)


def answers(encode, decode, inputs, model):
  """All queries' outputs: encoded once, asked model['queries'] at a time."""
  encoded = encode({name: inputs[name] for name in model['encoded']})
  asked = {k: encoded[k] if k in encoded else inputs[k] for k in model['asked']}
  found, number = [], model['queries']
  for start in range(0, max(x.shape[1] for x in asked.values()), number):
    chosen = {}
    for name, x in asked.items():
      # The last one over again, where they do not come out even.
      places = np.minimum(np.arange(start, start + number), x.shape[1] - 1)
      chosen[name] = x[:, places]
    found.append(decode({'latents': encoded['latents'], **chosen}))
  outputs = dict(found[0])
  for name, (key, each) in model['answers'].items():
    whole = np.concatenate([x[name] for x in found], axis=1)
    outputs[name] = whole[:, : asked[key].shape[1] * each]
    if name in model['grids']:
      outputs[name] = outputs[name].reshape(1, *model['grids'][name])
  return outputs


def load_stablehlo(path):
  """The file as a function of named arrays."""
  import jax
  from jax import export

  call = jax.jit(export.deserialize(bytearray(path.read_bytes())).call)
  return lambda inputs: jax.device_get(call(inputs))


def load_onnx(path):
  """The file as a function of named arrays."""
  import onnxruntime

  options = onnxruntime.SessionOptions()
  options.log_severity_level = 3
  session = onnxruntime.InferenceSession(path, options)
  names = [x.name for x in session.get_outputs()]
  # An output may not have an input's name there.
  own = [name.removesuffix('_out') for name in names]
  return lambda inputs: dict(zip(own, session.run(names, inputs), strict=True))


def load_litert(path):
  """The file as a function of named arrays."""
  from ai_edge_litert.interpreter import Interpreter

  interpreter = Interpreter(str(path))
  runner = interpreter.get_signature_runner()
  return lambda inputs: runner(**inputs)
