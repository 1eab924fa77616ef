"""Fine-tuning BERT on GLUE, as Perceiver IO is compared with it.

  python train.py --config=configs/baselines/glue.py:bytes_mrpc \
    --config.init_from.path=runs/bert --workdir=runs/bert_mrpc

Variants: `base_<task>` and `bytes_<task>`, with a task of cola, mnli, mrpc,
qnli, qqp, rte, sst2 and stsb, from runs of configs/baselines/bert.py:base and
:bytes; `tiny`, for tests, from one of :tiny. `base` needs
--config.data.preprocess.tokenizer_model, as in pretraining.

The features of the first token, [CLS], go to the same head as a Perceiver's
(Jaegle et al. 2021b, F.4), whose recipe this is: configs/perceiver_io/glue.py.
Neither the pretraining nor the original's segments tell the two texts of a pair
apart: [SEP] does. Not trained here.
"""

import ml_collections

from configs import common
from configs.baselines import bert
from configs.perceiver_io import glue

_VARIANTS = {
  f'{model}_{task}': (model, task)
  for model in bert.MODELS
  for task in glue.NUM_TRAIN
}
VARIANTS = (*_VARIANTS, 'tiny')


def get_config(variant: str = 'bytes_mrpc') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  if variant == 'tiny':
    return _tiny()
  model, task = _VARIANTS[variant]
  return glue.fine_tuning(
    make_body='baselines.bert.FirstToken',
    body={},
    model=bert.MODELS[model],
    names=(task,),
    begin_with_cls=True,
    # The tokens' logits, and the heads of tasks.
    replaced=r'/head(/|_)|params/bias$',
  )


def _tiny() -> ml_collections.ConfigDict:
  config = get_config()
  config.model = bert.get_config('tiny').model
  config.data.preprocess.length = config.model.max_length
  return glue.made_small(config)
