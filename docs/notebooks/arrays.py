# %% [markdown]
# # Perceiver IO on arrays of your own
#
# Perceiver IO takes any array: elements with channels, and where they lie. Here
# an example is 40 measurements of a wave at irregular times, with noise, and
# what is asked is the shape of the wave: sine, square or saw.

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
import matplotlib.pyplot as plt
import numpy as np

SHAPES = {
  'sine': lambda t: np.sin(2 * np.pi * t),
  'square': lambda t: np.sign(np.sin(2 * np.pi * t)),
  'saw': lambda t: 2 * (t % 1) - 1,
}


def waves(count, seed):
  """Times [E, M, 1], values [E, M, 1] and names [E]."""
  rng = np.random.default_rng(seed)
  times = np.sort(rng.uniform(0, 1, (count, 40)), axis=1)
  names = rng.choice(list(SHAPES), count)
  periods = rng.uniform(1, 3, count)  # in the unit of time
  starts = rng.uniform(0, 1, count)
  values = [
    SHAPES[name](t * period + start)
    for name, t, period, start in zip(
      names, times, periods, starts, strict=True
    )
  ]
  values += rng.normal(0, 0.1, times.shape)
  return times[..., None], values[..., None], names


times, values, names = waves(1_500, seed=0)
np.savez(work / 'waves.npz', x=values, coordinates=times, y=names)
for row in range(3):
  plt.plot(times[row], values[row], '.', label=names[row])
plt.legend()
plt.gcf().set_size_inches(6, 2.5)

# %% [markdown]
# The file's arrays are called `x`, `coordinates` and `y`; a fifth is held out
# ([what else a file may have](../own-data.md#arrays)).

# %%
NUM_STEPS = 500
os.environ['NUM_STEPS'] = str(NUM_STEPS)

# %% language="bash"
# python train.py --config=configs/perceiver_io/arrays.py:demo \
#   --config.data.data_dir=$WORK/waves.npz --config.num_steps=$NUM_STEPS \
#   --workdir=$WORK/run

# %% [markdown]
# New waves, and what the nearest neighbour says of them, whose distance is
# that of the values in their order:

# %%
import predict

new_times, new_values, new_names = waves(300, seed=1)
examples = [
  dict(x=x, coordinates=t) for x, t in zip(new_values, new_times, strict=True)
]
found = predict.load(str(work / 'run'))(examples)
labels = np.array([x.values['label'] for x in found])
distances = np.square(new_values[:, None, :, 0] - values[None, :, :, 0]).sum(-1)
nearest = names[distances.argmin(1)]
print(f'Perceiver IO      {np.mean(labels == new_names):.3f}')
print(f'nearest neighbour {np.mean(nearest == new_names):.3f}')
