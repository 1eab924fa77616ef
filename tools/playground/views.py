"""What the page shows of each kind of task, beside what predict.py tells.

A view is the kind of predictions that predict.py uses (`train_lib.prediction`),
of one input at a time, whose details are for the page: JSON, with pictures as
data URLs and maps as bytes.

Shapes: K classes, M clusters (or latents), h, w of a stage's map.
"""

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image

from paca_vit import classifier, relevance
from perceiver_io.evaluators import attention_maps
from tools.playground import parts
from tools.playground.inputs import Asked
from train_lib.task import Task

PyTree = Any
_BLANK = '▢'
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
      {'title': title, 'url': parts.png(files[suffix])}
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
    return {'probabilities': parts.rounded(weights / weights.sum())}


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
      parts.layer(
        name, maps, relevance=parts.rounded(output['relevance'][name])
      )
      for name, maps in output['maps'].items()
    ]
    return answer | {'seen': parts.seen(output['image']), 'layers': layers}


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
    answer['seen'] = parts.seen(output['image'])
    maps = parts.on_grid(output['weights'], output['image'].shape)
    if maps is not None:
      answer['layers'] = parts.latents(maps)
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
      answer['seen'] = parts.seen(output['image'])
      answer['layers'] = [parts.layer(*item) for item in output['maps'].items()]
    return answer


class Depths(View):
  titles = {'_near.png': 'Near is bright'}


class Objects(View):
  titles = {'_objects.png': 'What was found'}


class Tags(View):
  """Each class's probability by itself."""

  def details(self, asked, output, values, files):
    del asked, values, files
    return {'probabilities': parts.rounded(output['own'])}


class Films(View):
  titles = {'.png': 'Frames and waves, the clip above its reconstruction'}

  def details(self, asked, output, values, files):
    answer = super().details(asked, output, values, files)
    with tempfile.TemporaryDirectory(prefix='playground-') as folder:
      path = pathlib.Path(folder, 'film.mp4')
      files['.mp4'](str(path))
      answer['film'] = parts.url('video/mp4', path.read_bytes())
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
    vectors = {'data': parts.as_text(steps.tobytes()), 'unit': unit}
    return answer | {
      'seen': parts.png(PIL.Image.fromarray(asked.given[0])),
      'vectors': vectors | {'height': height, 'width': width},
    }


class Blanks(View):
  """Texts with blanks, words of any length or single tokens, and what latents
  read of the text with the shortest of them."""

  def __init__(self, kinds: Mapping[str, Any], tokenizer: Any, reads: bool):
    """Args:
    kinds: of predictions, 'words' and 'tokens'.
    tokenizer: of the run.
    reads: whether the model has latents.
    """
    super().__init__(kinds['words'])
    self._kinds, self._tokenizer, self._reads = kinds, tokenizer, reads

  def example(self, asked):
    example = self._kinds[asked.by].example(asked.given)
    by = {'by_tokens': np.zeros(1, np.int32)} if asked.by == 'tokens' else {}
    return example | by

  def outputs(self, task, variables, batch):
    kind = self._kinds['tokens' if 'by_tokens' in batch else 'words']
    outputs = {'own': kind.outputs(task, variables, batch)}
    if not self._reads:
      return outputs
    first = {name: batch[name][:, 0] for name in ('ids', 'input_mask')}
    weights = attention_maps.latent_weights(task.predict, variables, first)
    return outputs | first | {'weights': weights.mean(axis=1)}  # over heads

  def result(self, asked, output):
    values, files = self._kinds[asked.by].result(asked.given, output['own'])
    read = self._read(output) if self._reads else {}
    if asked.by == 'tokens':
      return values, files, {'values': values} | read
    filled = [
      {
        key: values[f'{key}{suffix}']
        for key in ('text', 'words', 'probability')
      }
      for suffix in ('', '_2', '_3')
      if f'text{suffix}' in values
    ]
    return values, files, {'filled': filled} | read

  def _read(self, output) -> dict[str, Any]:
    """The tokens of the text, and who reads them."""
    length = int(output['input_mask'].sum())
    tokens = [
      _BLANK if i == self._tokenizer.mask_id else self._tokenizer.decode([i])
      for i in output['ids'][:length].tolist()
    ]
    weights = output['weights'][:, :length]
    return {'tokens': tokens, 'layers': parts.latents(weights[:, None])}


def _in_units(task, logits: jax.Array) -> dict[str, jax.Array]:
  scale = getattr(task, 'scale', None)
  return (
    {'logits': logits} if scale is None else {'numbers': scale.in_units(logits)}
  )
