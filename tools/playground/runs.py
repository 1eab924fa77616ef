"""Trained runs as the page has them: opened, warmed up, asked one at a time."""

import importlib
import io
import pathlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np
import PIL.Image

from data import image_files
from tools.playground import inputs, kinds, parts, views
from tools.playground.inputs import Asked
from train_lib import pipeline, prediction, run_files
from train_lib import task as task_lib

# Of the kinds that take a picture of any size: it is shrunk.
_ONE_SIZE = (views.Classes, views.Clusters, views.Latents)
_WARM_TEXTS = ('The [MASK] is here.', 'The [MASK] is [MASK].')


class Run:
  """One trained run.

  Attributes:
    name: of its folder.
    takes: what is given to it, of `inputs.FIELDS`.
    sizes: name of an assignment -> how many clusters can be switched off.
    classes: names of the classes, None if they have none.
  """

  def __init__(
    self, workdir: str, config: ml_collections.ConfigDict, best: bool = False
  ):
    """Opens a run; weights are read when it is warmed up.

    Raises:
      ValueError: the page has no view of its task.
      FileNotFoundError: there is no run.
    """
    self.name = pathlib.Path(workdir).resolve().name
    self.takes = kinds.kind_of(config).takes
    self._config = config
    self._task = task_lib.make_task(config)
    self._view = kinds.make_view(config, workdir, self._task)
    self.sizes = self._view.sizes
    module = importlib.import_module(config.data.module)
    self.classes = run_files.read_classes(workdir) or getattr(
      module, 'CLASSES', None
    )
    self._predictor = prediction.Predictor(
      config, workdir, best, kind=self._view
    )
    self._lock = threading.Lock()
    self._examples = None
    self._status = {'status': 'waiting', 'step': 0, 'steps': 1, 'doing': ''}

  def about(self) -> dict[str, Any]:
    """What the page says of the run, and how far its warming up is."""
    return {
      'name': self.name,
      'task': self._config.task.module,
      'data': self._config.data.module,
      'takes': self.takes,
      'classes': list(self.classes) if self.classes else None,
      'sizes': dict(self.sizes),
    } | self._status

  def warm_up(self) -> None:
    """Reads the weights, and compiles by answering invented inputs."""
    started = time.monotonic()
    asked = self._warm_inputs()
    for i, (doing, make) in enumerate(asked):
      self._status = {
        'status': 'warming',
        'step': i,
        'steps': len(asked),
        'doing': doing,
      }
      try:
        self._answer(make())
      except inputs.Refused:
        pass  # An invented input need not suit: the first real one compiles.
      except Exception as e:
        self._status |= {'status': 'failed', 'doing': _one_line(e)}
        raise
    seconds = round(time.monotonic() - started, 1)
    self._status = {'status': 'ready', 'seconds': seconds}

  @property
  def is_ready(self) -> bool:
    return self._status['status'] == 'ready'

  def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the run says to a request.

    Raises:
      ValueError: the request, or what it holds, is not what the run takes.
    """
    names = inputs.FIELDS[self.takes]
    inputs.known_fields(body, *names, *(('off',) if self.sizes else ()))
    off = inputs.clusters_off(body.get('off', {}), self.sizes)
    if self.takes in ('sound', 'film'):
      with inputs.private_file(inputs.file(body, names[0])) as path:
        return self._answer(Asked(path))
    if self.takes == 'blanks':
      by = body.get('by', 'words')
      if by not in ('words', 'tokens'):
        raise inputs.Refused("by: expected 'words' or 'tokens'.")
      return self._answer(Asked(inputs.text(body, 'text'), by=by))
    if self.takes == 'text':
      texts = [inputs.text(body, name) for name in names]
      return self._answer(Asked([x for x in texts if x.strip()]))
    pictures = [self._picture(body, name) for name in names]
    if self.takes == 'pair':
      return self._answer(Asked(tuple(pictures)))
    return self._answer(Asked(pictures[0], off))

  def example(self, index: int) -> dict[str, Any]:
    """An input of the run's evaluation data, by a number that is wrapped.

    Raises:
      ValueError: there is none to be shown.
    """
    with self._lock:
      if self._examples is None:
        data = prediction.evaluation(self._config).data
        self._examples = pipeline.open_source(data)[0]
    raw = self._examples[index * 7_919 % len(self._examples)]
    if self.takes == 'picture':
      label = raw.get('label')
      named = isinstance(label, int | np.integer)
      return {
        'pictures': [_as_url(raw['image'])],
        'label': self._class_name(int(label)) if named else None,
      }
    if self.takes == 'pair':
      return {'pictures': [_as_url(raw[x]) for x in ('frame1', 'frame2')]}
    if self.takes == 'text':
      return {'texts': list(raw['texts'])}
    raise inputs.Refused(f'There are no examples of a {self.takes}.')

  def _class_name(self, label: int) -> str:
    known = self.classes and 0 <= label < len(self.classes)
    return str(self.classes[label]) if known else str(label)

  def _picture(self, body, name):
    held = inputs.picture(body, name)
    if isinstance(self._view, _ONE_SIZE):
      return held
    return inputs.pixels(held, name)

  def _answer(self, asked: Asked) -> dict[str, Any]:
    with self._lock:
      started = time.monotonic()
      (found,) = self._predictor([asked])
      seconds = time.monotonic() - started
    if found.error:
      text = found.error.replace('<bytes>', 'picture')
      if isinstance(asked.given, pathlib.Path):
        text = text.replace(str(asked.given), 'file')
      raise inputs.Refused(text)
    return found.details | {'seconds': round(seconds, 4)}

  def _warm_inputs(self) -> Sequence[tuple[str, Callable[[], Asked]]]:
    """(what is being done, an invented request) of all that is compiled."""
    doing = 'reading weights, compiling the prediction'
    if self.takes == 'picture':
      grey = _grey_picture()
      if not isinstance(self._view, _ONE_SIZE):
        grey = inputs.pixels(grey, 'picture')
      found = [(doing, lambda: Asked(grey))]
      if self.sizes:
        off = {next(iter(self.sizes)): (0,)}
        found.append(
          ('compiling clusters switched off', lambda: Asked(grey, off))
        )
      return found
    if self.takes == 'pair':
      size = *self._config.model.image_size, 3
      frame = np.full(size, 128, np.uint8)
      return [(doing, lambda: Asked((frame, frame)))]
    if self.takes == 'text':
      return [(doing, lambda: Asked(['A text.']))]
    if self.takes == 'blanks':
      one, two = _WARM_TEXTS
      return [
        (doing, lambda: Asked(one)),
        ('compiling several blanks', lambda: Asked(two)),
        ('compiling blanks of one token', lambda: Asked(one, by='tokens')),
      ]
    return [(doing, self._silence)]

  def _silence(self) -> Asked:
    rate = self._config.data.preprocess.get('rate', 48_000)
    return Asked(np.zeros(2 * rate, np.int16))


def _grey_picture() -> bytes:
  file = io.BytesIO()
  PIL.Image.new('RGB', (64, 64), 'grey').save(file, 'png')
  return file.getvalue()


def _as_url(raw: Any) -> str:
  """A raw image of a data set: a file's bytes, or pixels [H, W, 1 or 3]."""
  if isinstance(raw, bytes):
    return parts.png(image_files.read_image(raw))
  pixels = np.asarray(raw)
  if pixels.ndim == 3 and pixels.shape[-1] == 1:
    pixels = pixels[..., 0]
  return parts.png(PIL.Image.fromarray(pixels))


def _one_line(error: Exception) -> str:
  return f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'
