# %% [markdown]
# # What do clusters see?
#
# In PaCa-ViT patches attend not to each other but to a few clusters, sums of
# patches whose weights are learned. So what a layer attends to can be looked
# at. The model here [comes with the repository](../zoo.md) and reads coloured
# digits over photographs.

# %%
import os
import sys

os.chdir('../..')  # from docs/notebooks
sys.path.insert(0, os.getcwd())

# %%
import functools

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import display

from data.images import folder_examples
from paca_vit import relevance
from tools import zoo
from train_lib import evaluators, pictures, run_files, setup, sharding, trained

workdir = zoo.workdir('digits_on_photos')
config = run_files.read_config(workdir)
mesh = sharding.make_mesh(config.mesh)
shapes = setup.evaluation_batch(config)
task, state = trained.load(config, workdir, mesh, shapes)
model, variables = task.model, state.eval_variables

# Six test images: digits and photographs that were not trained on.
batch = folder_examples.load(evaluators.sections(config)['clusters'])
outputs = jax.jit(task.predict)(variables, batch)
classes = outputs['logits'].argmax(-1)
print('predicted', classes, 'label', batch['label'])

# %% [markdown]
# Each of the eight clusters of the last stage has a colour, as bright as its
# weight. What no cluster reads stays grey.

# %%
plain = [pictures.tile(image) for image in batch['image']]
maps = np.asarray(outputs['cluster_maps']['stage_2'])
colored = [pictures.clusters(x, y) for x, y in zip(plain, maps, strict=True)]
display(pictures.grid([plain, colored]))

# %% [markdown]
# The clusters of the first image apart:

# %%
apart = [pictures.heat(plain[0], weights) for weights in maps[0]]
display(pictures.grid([[plain[0], *apart[:4]], [plain[0], *apart[4:]]]))

# %% [markdown]
# ## Which of them decide?
#
# The relevance of a cluster is what its content adds to the logit of the class,
# to first order ([how](../explaining.md)). Taking the content away, a factor of
# 0 on the cluster's token, shows whether that is so.

# %%
explain = jax.jit(functools.partial(relevance.cluster_relevance, model))
found, _ = explain(variables, batch['image'], classes)
ones = {name: jnp.ones_like(x) for name, x in found.items()}


@jax.jit
def probability(scales):
  logits, _ = relevance.apply_scaled(model, variables, batch['image'], scales)
  chosen = jnp.take_along_axis(jax.nn.softmax(logits), classes[:, None], 1)
  return chosen[:, 0]


last = found['stage_2']
order = jnp.argsort(-last)  # the most relevant first
print('clusters      ', *(f'{i:5}' for i in range(len(plain))))
print('all           ', *(f'{x:5.2f}' for x in probability(ones)))
for title, taken in (
  ('without top 2', order[:, :2]),
  ('bottom 2', order[:, -2:]),
):
  kept = ones['stage_2'].at[jnp.arange(len(last))[:, None], taken].set(0)
  without = probability(ones | {'stage_2': kept})
  print(f'{title:14}', *(f'{x:5.2f}' for x in without))
