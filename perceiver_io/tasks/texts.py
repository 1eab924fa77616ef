"""Classes or numbers of somebody's own texts, from a masked language model.

As GLUE's single-task query (Jaegle et al. 2021b, 4.1): the decoder asks one
query, and a small head makes logits, or a number, of what it returns.

Letters: B batch, M tokens, K classes, 1 for a number.
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
from train_lib import labels as labels_lib

PREDICTIONS = 'data.language.predictions'


class TextModel(nn.Module):
  """A language model that answers one query an example.

  Attributes:
    inputs, encoder, decoder: as `LanguageModel`'s.
    queries: one.
    num_outputs: K.
  """

  inputs: TokenInputs
  encoder: Encoder
  queries: LearnedQueries
  decoder: CrossAttention
  num_outputs: int

  @nn.compact
  def __call__(self, ids: jax.Array, input_mask: jax.Array) -> jax.Array:
    """Maps ids and input_mask [B, M] to [B, K]."""
    inputs = self.inputs(ids)
    latents = self.encoder(inputs, input_mask)
    x = self.decoder(self.queries(inputs), latents)[:, 0]
    return TaskHead(self.num_outputs, name='head_texts')(x)


@dataclasses.dataclass(frozen=True)
class Texts:
  """Batch keys: `ids` [B, M] int32; `input_mask` [B, M], 0 for padding; `label`
  [B] int32, or float32 if it is a number; `mask` [B].

  Attributes:
    model: the model.
    labels: what the outputs are.
  """

  model: TextModel
  labels: labels_lib.Classes | labels_lib.Numbers

  @property
  def label_ranges(self):
    return {'ids': (self.model.inputs.vocab_size, None)} | self.labels.ranges

  def init(self, rng, batch):
    return self.model.init(rng, batch['ids'], batch['input_mask'])

  def loss(self, variables, batch, rng):
    del rng
    outputs = self._outputs(variables, batch)
    return self.labels.loss(outputs, batch['label'], batch['mask'])

  def metrics(self, variables, batch):
    outputs = self._outputs(variables, batch)
    return self.labels.metrics(outputs, batch['label'], batch['mask'])

  def predict(self, variables, batch):
    """`logits` [B, K], or `numbers` [B, 1]."""
    return self.labels.predictions(self._outputs(variables, batch))

  def _outputs(self, variables, batch):
    return self.model.apply(variables, batch['ids'], batch['input_mask'])


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> Texts:
  """Builds the task.

  Args:
    config: kind, num_outputs, y_mean, y_std and label_smoothing.
    model: arguments of `models.masked_language_modelling`.
  """
  pretrained = models.masked_language_modelling(**model)
  return Texts(
    model=TextModel(
      inputs=pretrained.inputs,
      encoder=pretrained.encoder,
      queries=LearnedQueries(1, pretrained.queries.channels),
      decoder=pretrained.decoder,
      num_outputs=config.num_outputs,
    ),
    labels=labels_lib.make_labels(config, config.num_outputs),
  )
