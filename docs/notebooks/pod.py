# %% [markdown]
# # From a laptop to a pod
#
# One program and one config run on any number of devices; what changes is the
# mesh. This shows that on eight devices that the CPU plays, and what a compiler
# for TPUs says of the full size.

# %%
import os
import sys
import tempfile

os.chdir('../..')  # from docs/notebooks
sys.path.insert(0, os.getcwd())
os.environ['WORK'] = tempfile.mkdtemp()
STEPS = 6
os.environ['STEPS'] = str(STEPS)
os.environ['SMALL'] = (
  '--config=configs/paca_vit/mnist5k.py:tiny '
  f'--config.num_steps={STEPS} --config.checkpoint.every_steps={STEPS}'
)

# %% [markdown]
# ## One device

# %% language="bash"
# python train.py $SMALL --workdir=$WORK/one

# %% [markdown]
# ## Eight
#
# `mesh.fsdp=4` splits the parameters over four devices, and the batch over all
# eight. The losses are those of one device, to rounding.

# %% language="bash"
# export XLA_FLAGS=--xla_force_host_platform_device_count=8
# python train.py $SMALL --config.mesh.fsdp=4 --workdir=$WORK/eight

# %%
import json
import pathlib

losses = {}
for name in ('one', 'eight'):
  path = pathlib.Path(os.environ['WORK'], name, 'metrics.jsonl')
  lines = map(json.loads, path.read_text().splitlines())
  losses[name] = [x['loss'] for x in lines if 'loss' in x]
  print(f'{name:6}', *(f'{x:.5f}' for x in losses[name]))
difference = max(abs(a - b) for a, b in zip(*losses.values(), strict=True))
print(f'largest difference: {difference:.1e}')

# %% [markdown]
# ## Where arrays lie
#
# A rule, a regular expression over an array's path, says over which axes of the
# mesh an array is split. The same checkpoint is read on another mesh:

# %% language="bash"
# python eval.py --workdir=$WORK/eight --config=configs/paca_vit/mnist5k.py:tiny

# %% [markdown]
# ## The full size, without a TPU
#
# With the extra `tpu-compile` the TPU's compiler runs here and says what a step
# of a published size needs: memory, collectives, a roofline. Minutes each; [the
# table](../compile-check.md) has all of them.
#
# ```
# python -m tools.compile_check --only=perceiver_io/imagenet:fourier
# ```
#
# [From a laptop to a pod](../pod.md) has the launchers: Cloud TPU, GKE, SLURM.
