"""What the page shows of each kind of task, beside what predict.py tells.

A view is the kind of predictions that predict.py uses (`train_lib.prediction`),
of one input at a time, whose details are for the page: JSON, with pictures as
data URLs and maps as bytes.

Shapes: K classes, M clusters (or latents), h, w of a stage's map.
"""

import base64
import importlib
import io
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import PIL.Image

from paca_vit import classifier, relevance
from perceiver_io import perceiver
from perceiver_io.evaluators import attention_maps
from tools.playground.inputs import Asked
from train_lib import pictures, prediction
from train_lib.task import Task

PyTree = Any
_NUM_LATENTS = 8  # shown, those that read the fewest inputs
_SEEN_SIDE = 256
_LARGEST_SIDE_OF_MAPS = 256
_FLO_HEADER = 12  # bytes before the vectors of Middlebury's format


class View:
  """Any kind: names and values, pictures, a film."""

  batch_size = 1
  sizes: Mapping[str, int] = {}  # of assignments whose clusters can be off
  titles: Mapping[str, str] = {}  # suffix of a picture's file -> its title

  def __init__(self, kind: Any):
    self._kind = kind

  def example(self, asked: Asked) -> dict[str, np.ndarray]:
    return self._kind.example(asked.given)

  def model_batch(self, batch):
    """What the model is made for."""
    if hasattr(self._kind, 'model_batch'):
      return self._kind.model_batch(batch)
    return batch

  def outputs(self, task: Task, variables: PyTree, batch: PyTree) -> PyTree:
    return {'own': self._kind.outputs(task, variables, batch)}

  def result(self, asked: Asked, output: PyTree):
    """As predict.py's, and the page's answer as details."""
    values, files, *_ = self._kind.result(asked.given, output['own'])
    return values, files, self.details(asked, output, values, files)

  def details(self, asked, output, values, files) -> dict[str, Any]:
    del asked, output
    shown = [
      {'title': title, 'url': png(files[suffix])}
      for suffix, title in self.titles.items()
      if suffix in files
    ]
    return {'values': values, 'pictures': shown}


class Classes(View):
  """The probabilities of all classes, or numbers."""

  def details(self, asked, output, values, files):
    del asked, files
    own = output['own']
    if 'logits' not in own:
      return {'values': values}
    logits = np.asarray(own['logits'], np.float64)
    weights = np.exp(logits - logits.max())
    return {'probabilities': rounded(weights / weights.sum())}


class Clusters(Classes):
  """Of a PaCa classifier also its clusters, which can be switched off.

  Off is a cluster whose token is 0 in every block that has its assignment, as
  `paca_vit.relevance` takes a cluster's content away.
  """

  def __init__(self, kind: Any, model: classifier.PacaViT, num_clusters):
    super().__init__(kind)
    self._model = model
    names = dict.fromkeys(relevance.assignment_names(model.backbone).values())
    of_stage = {
      name: num_clusters[int(name.split('_')[1]) - 1] for name in names
    }
    self.sizes = {name: size for name, size in of_stage.items() if size}

  def example(self, asked):
    """With a factor for each cluster, if any is off."""
    example = super().example(asked)
    if not asked.off:
      return example
    factors = {name: np.ones(n, np.float32) for name, n in self.sizes.items()}
    for name, clusters in asked.off.items():
      factors[name][list(clusters)] = 0
    return example | {f'on/{name}': x for name, x in factors.items()}

  def model_batch(self, batch):
    return {k: x for k, x in batch.items() if not k.startswith('on/')}

  def outputs(self, task, variables, batch):
    images = batch['image']
    if f'on/{next(iter(self.sizes))}' in batch:
      scales = {name: batch[f'on/{name}'] for name in self.sizes}
      logits, _ = relevance.apply_scaled(self._model, variables, images, scales)
      return {'own': _in_units(task, logits)}
    own = self._kind.outputs(task, variables, batch)
    logits = own.get('logits', jnp.zeros((images.shape[0], 1)))
    found, maps = relevance.cluster_relevance(
      self._model, variables, images, jnp.argmax(logits, axis=-1)
    )
    return {'own': own, 'image': images, 'relevance': found, 'maps': maps}

  def details(self, asked, output, values, files):
    answer = super().details(asked, output, values, files)
    if 'maps' not in output:
      return answer
    layers = [
      layer(name, maps, relevance=rounded(output['relevance'][name]))
      for name, maps in output['maps'].items()
    ]
    return answer | {'seen': seen(output['image']), 'layers': layers}


class Latents(Classes):
  """Of a Perceiver also what its latents read of an image."""

  def outputs(self, task, variables, batch):
    weights = attention_maps.latent_weights(task.predict, variables, batch)
    return {
      'own': self._kind.outputs(task, variables, batch),
      'image': batch['image'],
      'weights': weights.mean(axis=1),  # over heads
    }

  def details(self, asked, output, values, files):
    answer = super().details(asked, output, values, files)
    answer['seen'] = seen(output['image'])
    maps = on_grid(output['weights'], output['image'].shape)
    if maps is not None:
      chosen = np.argsort(attention_maps.inputs_read(output['weights']))
      chosen = chosen[:_NUM_LATENTS]
      answer['layers'] = [
        layer('all latents together', maps.mean(axis=0, keepdims=True)),
        layer(
          f'the {len(chosen)} latents that read the fewest inputs',
          maps[chosen],
          numbers=chosen.tolist(),
        ),
      ]
    return answer


class Masks(View):
  """Of a segmenter also its clusters."""

  titles = {'_overlay.png': 'Classes of the pixels'}

  def __init__(self, kind: Any, by_windows: bool):
    super().__init__(kind)
    self._by_windows = by_windows

  def outputs(self, task, variables, batch):
    outputs = super().outputs(task, variables, batch)
    if self._by_windows:  # Clusters are of a window, not of the picture.
      return outputs
    found = task.predict(variables, {'image': batch['image']})
    return outputs | {'image': batch['image'], 'maps': found['cluster_maps']}

  def details(self, asked, output, values, files):
    answer = super().details(asked, output, values, files)
    if output.get('maps'):
      answer['seen'] = seen(output['image'])
      answer['layers'] = [layer(*item) for item in output['maps'].items()]
    return answer


class Depths(View):
  titles = {'_near.png': 'Near is bright'}


class Objects(View):
  titles = {'_objects.png': 'What was found'}


class Tags(View):
  """Each class's probability by itself."""

  def details(self, asked, output, values, files):
    del asked, values, files
    return {'probabilities': rounded(output['own'])}


class Films(View):
  titles = {'.png': 'Frames and waves, the clip above its reconstruction'}

  def details(self, asked, output, values, files):
    answer = super().details(asked, output, values, files)
    with tempfile.TemporaryDirectory(prefix='playground-') as folder:
      path = pathlib.Path(folder, 'film.mp4')
      files['.mp4'](str(path))
      answer['film'] = url('video/mp4', path.read_bytes())
    return answer


class Flow(View):
  """Colours, and the vector of each pixel in steps of `unit`."""

  titles = {'.png': 'Motion: the hue is its direction, the strength its length'}

  def details(self, asked, output, values, files):
    answer = super().details(asked, output, values, files)
    height, width = asked.given[0].shape[:2]
    vectors = np.frombuffer(files['.flo'], '<f4', offset=_FLO_HEADER)
    unit = max(float(np.abs(vectors).max()), 1e-6) / 32_767
    steps = np.round(vectors / unit).astype('<i2')
    vectors = {'data': as_text(steps.tobytes()), 'unit': unit}
    return answer | {
      'seen': png(PIL.Image.fromarray(asked.given[0])),
      'vectors': vectors | {'height': height, 'width': width},
    }


class Blanks(View):
  """Texts with blanks: words of any length, or single tokens."""

  def __init__(self, kinds: Mapping[str, Any]):
    super().__init__(kinds['words'])
    self._kinds = kinds

  def example(self, asked):
    example = self._kinds[asked.by].example(asked.given)
    by = {'by_tokens': np.zeros(1, np.int32)} if asked.by == 'tokens' else {}
    return example | by

  def outputs(self, task, variables, batch):
    kind = self._kinds['tokens' if 'by_tokens' in batch else 'words']
    return {'own': kind.outputs(task, variables, batch)}

  def result(self, asked, output):
    values, files = self._kinds[asked.by].result(asked.given, output['own'])
    if asked.by == 'tokens':
      return values, files, {'values': values}
    filled = [
      {
        key: values[f'{key}{suffix}']
        for key in ('text', 'words', 'probability')
      }
      for suffix in ('', '_2', '_3')
      if f'text{suffix}' in values
    ]
    return values, files, {'filled': filled}


class Kind(NamedTuple):
  """What a run takes, as `inputs.FIELDS` has it, and the view of it."""

  takes: str
  view: type[View]


KINDS = {
  'data.images.predictions': Kind('picture', Classes),
  'data.language.filled': Kind('blanks', Blanks),
  'data.language.predictions': Kind('text', Classes),
  'data.sound.predictions': Kind('sound', Tags),
  'paca_vit.evaluators.depth_predictions': Kind('picture', Depths),
  'paca_vit.evaluators.detection_predictions': Kind('picture', Objects),
  'paca_vit.evaluators.mask_predictions': Kind('picture', Masks),
  'perceiver_io.evaluators.clip_predictions': Kind('film', Films),
  'perceiver_io.evaluators.flow_predictions': Kind('pair', Flow),
}


def kind_of(config: ml_collections.ConfigDict) -> Kind:
  """Raises a ValueError if the page has no view of the config's task."""
  module = importlib.import_module(config.task.module)
  name = getattr(module, 'PREDICTIONS', None)
  if name not in KINDS:
    raise ValueError(
      f'--workdir: the page cannot show {config.task.module}'
      + ('; predict.py predicts for it.' if name else '.')
    )
  return KINDS[name]


def make_view(
  config: ml_collections.ConfigDict, workdir: str, task: Task
) -> View:
  """The view of a run; raises a ValueError if there is none."""
  view = kind_of(config).view
  kind = prediction.make_kind(config, workdir, {})
  if view is Blanks:
    by_token = prediction.make_kind(config, workdir, {'by': 'tokens'})
    return Blanks({'words': kind, 'tokens': by_token})
  if view is Masks:
    return Masks(kind, 'window' in prediction.evaluation(config))
  if view is Classes:
    model = getattr(task, 'model', None)
    # Inside of a loop over layers no cluster can be switched off.
    if isinstance(model, classifier.PacaViT) and not config.model.scan_layers:
      if any(config.model.num_clusters):
        return Clusters(kind, model, config.model.num_clusters)
    of_images = kind_of(config).takes == 'picture'
    if of_images and isinstance(
      model, perceiver.Perceiver | perceiver.PooledPerceiver
    ):
      return Latents(kind)
  return view(kind)


def layer(name: str, maps: np.ndarray, **more: Any) -> dict[str, Any]:
  """Maps [M, h, w], 0 or above, as bytes that are shares of their largest."""
  largest = maps.max(axis=(1, 2))
  shares = maps / np.maximum(largest, 1e-30)[:, None, None]
  data = np.round(255 * shares).astype(np.uint8).tobytes()
  return {
    'name': name,
    'shape': list(maps.shape),
    'data': as_text(data),
    'largest': [float(f'{x:.3g}') for x in largest],
    **more,
  }


def on_grid(weights: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
  """Weights [M, inputs] as [M, h, w]; None if inputs are no grid over images.

  Args:
    weights: of each input.
    shape: H, W, C of the image.
  """
  height, width = shape[:2]
  step = round((height * width / weights.shape[1]) ** 0.5)
  grid = height // max(step, 1), width // max(step, 1)
  fits = grid[0] * grid[1] == weights.shape[1]
  if not fits or max(grid) > _LARGEST_SIDE_OF_MAPS:
    return None
  return weights.reshape(-1, *grid)


def seen(image: np.ndarray) -> str:
  """The picture [H, W, C] as the model saw it."""
  return png(PIL.Image.fromarray(pictures.tile(image, _SEEN_SIDE)))


def rounded(x: np.ndarray) -> list[float]:
  return [round(float(value), 5) for value in np.ravel(x)]


def png(picture: PIL.Image.Image) -> str:
  file = io.BytesIO()
  picture.convert('RGB').save(file, 'png', compress_level=1)
  return url('image/png', file.getvalue())


def url(kind: str, held: bytes) -> str:
  return f'data:{kind};base64,{as_text(held)}'


def as_text(held: bytes) -> str:
  return base64.b64encode(held).decode('ascii')


def _in_units(task, logits: jax.Array) -> dict[str, jax.Array]:
  scale = getattr(task, 'scale', None)
  return (
    {'logits': logits} if scale is None else {'numbers': scale.in_units(logits)}
  )
