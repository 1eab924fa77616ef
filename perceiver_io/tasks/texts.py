"""Classes of somebody's own texts, from a masked language model.

As GLUE's single-task query (Jaegle et al. 2021b, 4.1): the decoder asks one
query, and a small head makes logits of what it returns.

Letters: B batch, M tokens, K classes.
"""

import dataclasses

import flax.linen as nn
import jax
import ml_collections

from perceiver_io import models
from perceiver_io.attention import CrossAttention
from perceiver_io.inputs import TokenInputs
from perceiver_io.perceiver import Encoder
from perceiver_io.queries import LearnedQueries
from perceiver_io.tasks.sentence_classification import TaskHead
from train_lib import classification

PREDICTIONS = 'data.language.predictions'


class TextModel(nn.Module):
  """A language model that answers one query an example.

  Attributes:
    inputs, encoder, decoder: as `LanguageModel`'s.
    queries: one.
    num_classes: K.
  """

  inputs: TokenInputs
  encoder: Encoder
  queries: LearnedQueries
  decoder: CrossAttention
  num_classes: int

  @nn.compact
  def __call__(self, ids: jax.Array, input_mask: jax.Array) -> jax.Array:
    """Maps ids and input_mask [B, M] to logits [B, K]."""
    inputs = self.inputs(ids)
    latents = self.encoder(inputs, input_mask)
    x = self.decoder(self.queries(inputs), latents)[:, 0]
    return TaskHead(self.num_classes, name='head_texts')(x)


@dataclasses.dataclass(frozen=True)
class Texts:
  """Batch keys: `ids` [B, M] int32; `input_mask` [B, M], 0 for padding; `label`
  [B] int32; `mask` [B].

  Attributes:
    model: the model.
    label_smoothing: in training.
  """

  model: TextModel
  label_smoothing: float

  @property
  def label_ranges(self):
    ids = self.model.inputs.vocab_size, None
    return {'label': (self.model.num_classes, None), 'ids': ids}

  def init(self, rng, batch):
    return self.model.init(rng, batch['ids'], batch['input_mask'])

  def loss(self, variables, batch, rng):
    del rng
    return classification.make_loss(
      self.predict(variables, batch)['logits'],
      batch['label'],
      batch['mask'],
      label_smoothing=self.label_smoothing,
      model_state={},
    )

  def metrics(self, variables, batch):
    logits = self.predict(variables, batch)['logits']
    return classification.make_metrics(logits, batch['label'], batch['mask'])

  def predict(self, variables, batch):
    """Logits [B, K]."""
    return {
      'logits': self.model.apply(variables, batch['ids'], batch['input_mask'])
    }


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> Texts:
  """Builds the task.

  Args:
    config: num_classes and label_smoothing.
    model: arguments of `models.masked_language_modelling`.
  """
  pretrained = models.masked_language_modelling(**model)
  return Texts(
    model=TextModel(
      inputs=pretrained.inputs,
      encoder=pretrained.encoder,
      queries=LearnedQueries(1, pretrained.queries.channels),
      decoder=pretrained.decoder,
      num_classes=config.num_classes,
    ),
    label_smoothing=config.label_smoothing,
  )
