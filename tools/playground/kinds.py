"""Which view a run has, by its task."""

import importlib
from typing import NamedTuple

import ml_collections

from data.language.tokenizer import make_tokenizer
from paca_vit import classifier
from perceiver_io import perceiver
from tools.playground import views
from train_lib import prediction
from train_lib.task import Task


class Kind(NamedTuple):
  """What a run takes, as `inputs.FIELDS` has it, and the view of it."""

  takes: str
  view: type[views.View]


KINDS = {
  'data.images.predictions': Kind('picture', views.Classes),
  'data.language.filled': Kind('blanks', views.Blanks),
  'data.language.predictions': Kind('text', views.Classes),
  'data.sound.predictions': Kind('sound', views.Tags),
  'paca_vit.evaluators.depth_predictions': Kind('picture', views.Depths),
  'paca_vit.evaluators.detection_predictions': Kind('picture', views.Objects),
  'paca_vit.evaluators.mask_predictions': Kind('picture', views.Masks),
  'perceiver_io.evaluators.clip_predictions': Kind('film', views.Films),
  'perceiver_io.evaluators.flow_predictions': Kind('pair', views.Flow),
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
) -> views.View:
  """The view of a run; raises a ValueError if there is none."""
  view = kind_of(config).view
  kind = prediction.make_kind(config, workdir, {})
  if view is views.Blanks:
    by_token = prediction.make_kind(config, workdir, {'by': 'tokens'})
    options = prediction.evaluation(config).data.preprocess
    return views.Blanks(
      {'words': kind, 'tokens': by_token},
      make_tokenizer(options.tokenizer_model),
      isinstance(task.model, perceiver.LanguageModel),
    )
  if view is views.Masks:
    return views.Masks(
      kind, prediction.evaluation(config).get('window') is not None
    )
  if view is views.Classes:
    model = getattr(task, 'model', None)
    has_clusters = isinstance(model, classifier.PacaViT) and any(
      config.model.num_clusters
    )
    if has_clusters:
      return views.Clusters(kind, model, config.model.num_clusters)
    of_images = kind_of(config).takes == 'picture'
    if of_images and isinstance(
      model, perceiver.Perceiver | perceiver.PooledPerceiver
    ):
      return views.Latents(kind)
  return view(kind)
