# %% [markdown]
# # Train on your photos
#
# A folder for each class is all that is needed. Here the classes are surfaces,
# brick, grass and gravel, cut out of three photographs that scikit-image ships.
# The left of each photograph trains, the right is held out.

# %%
import os
import pathlib
import sys
import tempfile

os.chdir('../..')  # from docs/notebooks
sys.path.insert(0, os.getcwd())
work = pathlib.Path(tempfile.mkdtemp())
os.environ['WORK'] = str(work)

# %%
import numpy as np
import PIL.Image
import skimage.data
from IPython.display import display

SIDE = 64
rng = np.random.default_rng(0)
shown = []
for name in ('brick', 'grass', 'gravel'):
  photograph = getattr(skimage.data, name)()  # grey, 512 x 512
  for split, left, count in (('train', 0, 120), ('val', 320, 40)):
    folder = work / 'photos' / split / name
    folder.mkdir(parents=True)
    for i in range(count):
      x, y = left + rng.integers(192 - SIDE), rng.integers(512 - SIDE)
      piece = PIL.Image.fromarray(photograph[y : y + SIDE, x : x + SIDE])
      piece.save(folder / f'{i}.png')
  shown += [piece, PIL.Image.new('L', (8, SIDE), 255)]

display(PIL.Image.fromarray(np.concatenate(shown, axis=1)))
print(*sorted(str(x.relative_to(work)) for x in work.glob('photos/*/*')))

# %% [markdown]
# ## Three commands
#
# They are those of [your own data](../own-data.md). What depends on the data,
# the classes and the warm-up, is derived and printed.

# %%
NUM_STEPS = 60
os.environ['NUM_STEPS'] = str(NUM_STEPS)

# %% language="bash"
# python train.py --config=configs/paca_vit/finetune.py:demo \
#   --config.data.data_dir=$WORK/photos --config.num_steps=$NUM_STEPS \
#   --workdir=$WORK/run

# %% language="bash"
# python eval.py --workdir=$WORK/run

# %% language="bash"
# python predict.py --workdir=$WORK/run $WORK/photos/val/*/0.png

# %% [markdown]
# ## In Python
#
# `predict.load` gives a function of a list of paths, bytes or pixels.

# %%
import predict

paths = sorted(work.glob('photos/val/*/*.png'))
found = predict.load(str(work / 'run'))(paths)
right = [
  x.values['label'] == path.parent.name
  for x, path in zip(found, paths, strict=True)
]
print(f'{sum(right)} of {len(right)} held-out pieces are recognised.')

# %% [markdown]
# What the clusters of such a model look at is [the next notebook](clusters.md);
# `python -m tools.report` puts a run's figures, mistakes and clusters on a
# page, and [`tools.export`](../export.md) takes the model elsewhere.
