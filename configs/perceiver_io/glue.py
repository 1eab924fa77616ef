"""Fine-tuning on GLUE from a masked language model.

  python train.py --config=configs/perceiver_io/glue.py:mrpc \
    --config.init_from.path=runs/mlm --workdir=runs/mrpc

Variants: a task (cola, mnli, mrpc, qnli, qqp, rte, sst2, stsb), for one query
of the model `base_bytes`; `base_sentencepiece_<task>` and `plus_plus_<task>`;
`shared_token`, `task_tokens` and `multitask_query`, all tasks at once (Jaegle
et al. 2021b, table 2; docs/paper-tables.md); `tiny` for tests; `wordnet`, pairs
of WordNet's definitions for a machine without GLUE, trained and reported as RTE
(`rte_accuracy`), from --config.init_from.path, a run of
masked_language_modelling.py:demo, or from scratch. SentencePiece needs
--config.data.preprocess.tokenizer_model, as in pretraining.

Published recipe (table 13): 10 epochs, LAMB, 200 steps of warm-up, the best of
batches of 16, 32, 64 and rates of 1e-4, 5e-5, 2e-5, 1e-5. Not trained here. The
paper does not say how the rate decays: linearly here, as BERT's. `init_from`
expects a run of masked_language_modelling.py of the variant's model.
"""

import ml_collections

from configs import common
from configs.perceiver_io import masked_language_modelling as mlm

# Training examples. Names sorted.
NUM_TRAIN = dict(
  cola=8_551,
  mnli=392_702,
  mrpc=3_668,
  qnli=104_743,
  qqp=363_849,
  rte=2_490,
  sst2=67_349,
  stsb=5_749,
)
# num_queries (None: the pretrained ones), query_of_task, task_tokens, and
# whether sequences begin with [CLS].
_SINGLE = (1, False, False, False)
_MULTITASK = dict(
  shared_token=(None, False, False, True),
  task_tokens=(None, False, True, True),
  multitask_query=(len(NUM_TRAIN), True, False, False),
)
# Models with variants for each task; of the first, the task alone names them.
_MODELS = ('base_bytes', 'base_sentencepiece', 'plus_plus')
_ONE_TASK = {
  f'{model}_{task}'.removeprefix('base_bytes_'): (model, task)
  for model in _MODELS
  for task in NUM_TRAIN
}
VARIANTS = (*_ONE_TASK, *_MULTITASK, 'wordnet', 'tiny')

# What `python -m tools.compile_check` compiles, and with which options.
TPU_TOPOLOGIES = {'multitask_query': ('v5e:2x4', {'model.scan_layers': True})}


def get_config(variant: str = 'mrpc') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  if variant in _ONE_TASK:
    model, task = _ONE_TASK[variant]
    return _perceiver(_SINGLE, mlm.MODELS[model], (task,))
  if variant in _MULTITASK:
    model = mlm.MODELS['base_bytes']
    return _perceiver(_MULTITASK[variant], model, tuple(NUM_TRAIN))
  if variant == 'tiny':
    return _tiny()
  return _wordnet()


def _perceiver(
  way: tuple, model: dict, names: tuple[str, ...]
) -> ml_collections.ConfigDict:
  num_queries, query_of_task, task_tokens, begin_with_cls = way
  body = dict(
    num_queries=ml_collections.config_dict.placeholder(int),
    query_of_task=query_of_task,
    task_tokens=task_tokens,
  )
  # The tokens' logits are not used, the queries only by tokens.
  replaced = r'outputs/|head_|task_tokens'
  if num_queries is not None:
    replaced += '|queries/'
  config = fine_tuning(
    make_body='perceiver_io.tasks.sentence_classification.asked_perceiver',
    body=body,
    model=model,
    names=names,
    begin_with_cls=begin_with_cls,
    replaced=replaced,
  )
  config.task.body.num_queries = num_queries
  return config


def fine_tuning(
  *,
  make_body: str,
  body: dict,
  model: dict,
  names: tuple[str, ...],
  begin_with_cls: bool,
  replaced: str,
) -> ml_collections.ConfigDict:
  """The published recipe, for any pretrained model.

  Args:
    make_body: dotted name of what builds its part up to features [B, C].
    body: its arguments, beside the model's.
    model: as in pretraining.
    names: of the tasks, one or all.
    begin_with_cls: whether sequences do.
    replaced: expression of the names that are not loaded.
  """
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.task = dict(
    module='perceiver_io.tasks.sentence_classification',
    make_body=make_body,
    body=body,
    names=names,
  )
  config.model = dict(model, dtype=ml_collections.config_dict.placeholder(str))
  split = names[0] if len(names) == 1 else 'all'
  config.data = common.data(
    'data.language.glue',
    split=f'{split}/train',
    batch_size=32,
    tokenizer_model=ml_collections.config_dict.placeholder(str),
    length=config.model.max_length,
    begin_with_cls=begin_with_cls,
  )
  steps_per_epoch = common.num_batches(
    sum(NUM_TRAIN[name] for name in names), config.data.get_ref('batch_size')
  )
  config.num_steps = 10 * steps_per_epoch
  config.evals = dict(
    validation=dict(
      module='perceiver_io.evaluators.glue',
      every_steps=common.part(steps_per_epoch),
      data=dict(split=f'{split}/validation', batch_size=64),
    )
  )
  config.optim = common.adamw(decay='polynomial', lr=5e-5, warmup_steps=200)
  config.optim.update(name='lamb', eps=1e-6, weight_decay=0.01)
  config.optim.schedule.power = 1.0
  config.checkpoint = common.checkpoint(
    every_steps=common.part(steps_per_epoch), best_metric='validation/average'
  )
  config.log_every_steps = 50
  config.update(common.parallel())
  config.init_from = dict(path='', exclude=(replaced,))
  return config


def _wordnet() -> ml_collections.ConfigDict:
  """A small model, from a pretraining run's weights or from scratch."""
  demo = mlm.get_config('demo')
  config = _perceiver(_SINGLE, mlm.MODELS['base_bytes'], ('rte',))
  config.model = demo.model
  config.num_steps = 1_500  # It overfits after an epoch.
  config.data.update(module='data.language.wordnet', split='train')
  config.data.preprocess.length = demo.model.max_length
  config.evals.validation.data.split = 'test'
  config.optim = demo.optim
  config.optim.schedule.lr = 1e-3
  config.checkpoint.every_steps = config.evals.validation.every_steps = 500
  return config


def _tiny() -> ml_collections.ConfigDict:
  config = get_config('task_tokens')
  config.model = mlm.get_config('tiny').model
  config.data.preprocess.length = config.model.max_length
  return made_small(config)


def made_small(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """Four steps on invented examples."""
  config.data.source = 'synthetic'
  config.num_steps, config.log_every_steps = 4, 1
  config.optim.schedule.warmup_steps = 1
  config.checkpoint.every_steps = config.evals.validation.every_steps = 2
  return config
