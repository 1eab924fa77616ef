"""Fine-tuning on GLUE, one task or all at once (Jaegle et al. 2021b, 4.1, F.4).

Letters: B batch, M tokens, C channels, T tasks, K logits of the largest task.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from perceiver_io import initializers, models
from perceiver_io.attention import CrossAttention
from perceiver_io.inputs import TokenInputs
from perceiver_io.perceiver import Encoder
from perceiver_io.queries import LearnedQueries
from train_lib import losses, metrics
from train_lib import task as task_lib


def _accuracy(predictions, label, weight) -> metrics.Mean:
  return metrics.Mean.of(predictions == label, weight)


# Task -> (logits, of which one is a score; the paper's metric and its name).
# Sorted, as the ids of `data.language.glue.TASKS` are.
TASKS = {
  'cola': (2, 'matthews', metrics.Matthews.of),
  'mnli': (3, 'accuracy', _accuracy),
  'mrpc': (2, 'accuracy', _accuracy),
  'qnli': (2, 'accuracy', _accuracy),
  'qqp': (2, 'accuracy', _accuracy),
  'rte': (2, 'accuracy', _accuracy),
  'sst2': (2, 'accuracy', _accuracy),
  'stsb': (1, 'pearson', metrics.Pearson.of),
}
_NO_LOGIT = -1e9


class TaskHead(nn.Module):
  """Two linear maps around a tanh, the hidden one as wide as its input."""

  num_logits: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, C] to [B, num_logits]."""
    hidden = nn.Dense(
      x.shape[-1], kernel_init=initializers.fan_in_truncated, name='hidden'
    )
    output = nn.Dense(
      self.num_logits, kernel_init=initializers.fan_in_truncated, name='output'
    )
    return output(nn.tanh(hidden(x)))


class AskedPerceiver(nn.Module):
  """A language model's answer to one query an example.

  The four ways of table 2 are values of three attributes:
    single-task query: one query, no token;
    multitask query: T queries, no token;
    shared input token: the sequence begins with [CLS], and the query of that
      position of the pretrained model is asked;
    task-specific tokens: the same, and a learned vector of the task is added
      to the embedding of [CLS], so that each task has its token.

  Attributes:
    inputs, encoder, decoder: as `LanguageModel`'s.
    queries: one for every task, or of the pretrained model.
    query_of_task: ask the query of the example's task instead of the first.
    task_tokens: add the task's vector to the first token.
  """

  inputs: TokenInputs
  encoder: Encoder
  queries: LearnedQueries
  decoder: CrossAttention
  query_of_task: bool
  task_tokens: bool

  @nn.compact
  def __call__(
    self, ids: jax.Array, input_mask: jax.Array, task: jax.Array
  ) -> jax.Array:
    """Maps ids and input_mask [B, M] and task [B] to [B, C]."""
    inputs = self.inputs(ids)
    if self.task_tokens:
      tokens = self.param(
        'task_tokens',
        initializers.learned_array,
        (len(TASKS), inputs.shape[-1]),
        jnp.float32,
      )
      first = inputs[:, :1] + tokens[task].astype(inputs.dtype)[:, None]
      inputs = jnp.concatenate([first, inputs[:, 1:]], axis=1)
    latents = self.encoder(inputs, input_mask)
    chosen = task if self.query_of_task else jnp.zeros_like(task)
    queries = self.queries(inputs)
    queries = jnp.take_along_axis(queries, chosen[:, None, None], axis=1)
    return self.decoder(queries, latents)[:, 0]


def asked_perceiver(
  *,
  num_queries: int | None,
  query_of_task: bool,
  task_tokens: bool,
  **model: Any,
) -> AskedPerceiver:
  """The body of a pretrained Perceiver IO.

  Args:
    num_queries: None for the pretrained ones.
    query_of_task, task_tokens: see `AskedPerceiver`.
    **model: arguments of `models.masked_language_modelling`.
  """
  pretrained = models.masked_language_modelling(**model)
  queries = pretrained.queries
  if num_queries is not None:
    queries = LearnedQueries(num_queries, queries.channels)
  return AskedPerceiver(
    inputs=pretrained.inputs,
    encoder=pretrained.encoder,
    queries=queries,
    decoder=pretrained.decoder,
    query_of_task=query_of_task,
    task_tokens=task_tokens,
  )


class SentenceModel(nn.Module):
  """A head for each task on what a pretrained body says of a sentence.

  The body's parameters have the paths that they were pretrained at.

  Attributes:
    body: maps ids and input_mask [B, M] and task [B] to [B, C].
  """

  body: nn.Module

  def setup(self):
    nn.share_scope(self, self.body)
    self.head = {
      name: TaskHead(num_logits) for name, (num_logits, *_) in TASKS.items()
    }

  def __call__(
    self, ids: jax.Array, input_mask: jax.Array, task: jax.Array
  ) -> jax.Array:
    """Maps ids and input_mask [B, M] and task [B] to logits [B, K].

    Logits that the example's task does not have are -1e9.
    """
    x = self.body(ids, input_mask, task)
    most = max(num_logits for num_logits, *_ in TASKS.values())
    heads = []
    for name, (num_logits, *_) in TASKS.items():
      logits = self.head[name](x)
      absent = ((0, 0), (0, most - num_logits))
      heads.append(jnp.pad(logits, absent, constant_values=_NO_LOGIT))
    return jnp.take_along_axis(
      jnp.stack(heads, axis=1), task[:, None, None], axis=1
    )[:, 0]


@dataclasses.dataclass(frozen=True)
class SentenceClassification:
  """Batch keys: `ids` [B, M] int32; `input_mask` [B, M], 0 for padding; `label`
  [B] float32, a class or STS-B's score; `task` [B] int32, index into TASKS;
  `mismatched` [B], 1 for MNLI's mismatched half; `mask` [B].

  Attributes:
    model: the model.
    tasks: names of the tasks whose metrics are computed.
    vocab_size: ids of tokens.
  """

  model: SentenceModel
  tasks: tuple[str, ...]
  vocab_size: int

  @property
  def label_ranges(self):
    return {'ids': (self.vocab_size, None)}

  def init(self, rng, batch):
    return self.model.init(
      rng, batch['ids'], batch['input_mask'], batch['task']
    )

  def loss(self, variables, batch, rng):
    del rng
    loss, _ = self._per_example(variables, batch)
    return losses.masked_mean(loss, batch['mask']), task_lib.LossAux(
      model_state={}, scalars={}, weight=jnp.sum(batch['mask'])
    )

  def metrics(self, variables, batch):
    """The loss and '<task>_<metric>', for MNLI one of each half."""
    loss, predictions = self._per_example(variables, batch)
    label, mask = batch['label'], batch['mask']
    results = {'loss': metrics.Mean.of(loss, mask)}
    for name in self.tasks:
      _, metric, of = TASKS[name]
      weight = mask * (batch['task'] == list(TASKS).index(name))
      if name == 'mnli':
        for half, share in (
          ('matched', 1 - batch['mismatched']),
          ('mismatched', batch['mismatched']),
        ):
          results[f'mnli_{half}_{metric}'] = of(
            predictions, label, weight * share
          )
      else:
        results[f'{name}_{metric}'] = of(predictions, label, weight)
    return results

  def predict(self, variables, batch):
    """Logits [B, K]; of a score the first is the score."""
    return {
      'logits': self.model.apply(
        variables, batch['ids'], batch['input_mask'], batch['task']
      )
    }

  def _per_example(self, variables, batch) -> tuple[jax.Array, jax.Array]:
    """Losses and predictions (classes, or scores) [B], float32."""
    logits = self.predict(variables, batch)['logits']
    label = batch['label']
    classes = losses.softmax_cross_entropy(logits, label.astype(jnp.int32))
    score = logits[:, 0].astype(jnp.float32)
    is_score = batch['task'] == list(TASKS).index('stsb')
    loss = jnp.where(is_score, jnp.square(score - label), classes)
    predictions = jnp.argmax(logits, axis=-1).astype(jnp.float32)
    return loss, jnp.where(is_score, score, predictions)


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> SentenceClassification:
  """Builds the task.

  Args:
    config: make_body, a function's dotted name; body, its arguments beside the
      model's; names, of the tasks to measure.
    model: what a pretraining run has under this name.
  """
  unknown = set(config.names) - set(TASKS)
  if unknown:
    raise ValueError(
      f'config.task.names: found {sorted(unknown)}, expected some of '
      f'{list(TASKS)}.'
    )
  make_body = task_lib.function_named(config.make_body)
  return SentenceClassification(
    model=SentenceModel(make_body(**config.body, **model)),
    tasks=tuple(config.names),
    vocab_size=model.vocab_size,
  )
