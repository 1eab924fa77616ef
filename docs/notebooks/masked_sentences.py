# %% [markdown]
# # Masked sentences, from imported weights
#
# A language model on bytes, 64 of them, trained on Python's documentation,
# comes with the repository as `model.safetensors` under Hugging Face's names.
# Published weights are imported and used in the same way
# ([how](../library.md)); this one is small.

# %%
import os
import pathlib
import sys
import tempfile

os.chdir('../..')  # from docs/notebooks
sys.path.insert(0, os.getcwd())
os.environ['WORK'] = tempfile.mkdtemp()

# %% language="bash"
# ls -s --block-size=KiB results/zoo/masked_bytes

# %% [markdown]
# ## As a library
#
# `perceiver_io.load` takes the sizes from the `config.json` beside the weights.

# %%
import jax
import numpy as np

import perceiver_io

model, variables = perceiver_io.load(
  'mlm', 'results/zoo/masked_bytes/model.safetensors'
)
FIRST, MASK = 6, 3  # A byte's id is its value plus 6.
text = 'the default is None, which means that the fi?e is not opened.'
ids = np.array([[MASK if c == '?' else ord(c) + FIRST for c in text]])
logits = jax.jit(model.apply)(variables, ids)[0, text.index('?')]
for i in np.argsort(-logits)[:5]:
  print(repr(chr(i - FIRST)), f'{jax.nn.softmax(logits)[i]:.3f}')

# %% [markdown]
# ## As a program
#
# A blank is a word whose length is not known: `predict.py` tries lengths up to
# twelve bytes and orders the texts by their probability.

# %% language="bash"
# python predict.py --model=masked_bytes 'Return the [MASK] of the list.'

# %% [markdown]
# ## As a run of one's own
#
# `convert_weights` makes of published weights what training may begin with;
# `--config` says the sizes where they are not published ones.

# %% language="bash"
# python -m tools.convert_weights \
#   --weights=results/zoo/masked_bytes/model.safetensors \
#   --config=configs/perceiver_io/masked_language_modelling.py:demo \
#   --config.model.qk_channels=256 --config.model.num_heads=8 \
#   --output=$WORK/weights

# %%
NUM_STEPS = 20
os.environ['NUM_STEPS'] = str(NUM_STEPS)

# %% [markdown]
# Here it begins to tell apart two kinds of sentences, in a table of the columns
# `text` and `label`.

# %%
rows = [('text', 'label')]
for name in (
  'list',
  'dict',
  'string',
  'file',
  'set',
  'tuple',
  'bytes',
  'module',
):
  rows += [(f'Return the length of the {name}.', 'statement')]
  rows += [(f'What is the length of the {name}?', 'question')]
table = '\n'.join(f'{text},{label}' for text, label in rows)
pathlib.Path(os.environ['WORK'], 'texts.csv').write_text(table + '\n')

# %% language="bash"
# python train.py --config=configs/perceiver_io/finetune_text.py:demo \
#   --config.model.qk_channels=256 --config.model.num_heads=8 \
#   --config.data.data_dir=$WORK/texts.csv --config.num_steps=$NUM_STEPS \
#   --config.init_from.path=$WORK/weights --workdir=$WORK/run
