"""Command lines with a mistake, as people type them.

Each is refused by one line that names the option, what was found and what was
expected.
"""

import random
from collections.abc import Iterator

from tests import test_configs_schema

IMAGENET = 'configs/paca_vit/imagenet.py'
PACA = 'configs/paca_vit/mnist5k.py:tiny'
PERCEIVER = 'configs/perceiver_io/mnist5k.py:tiny'
BYTES = 'configs/perceiver_io/masked_language_modelling.py:tiny'
_SYNTHETIC = '--config.data.source=synthetic'

# The config, the option with its mistake, others that it takes to make it.
OPTIONS = [
  (PACA, 'num_step=5'),
  (PACA, 'optim.lr=1e-3'),
  (PACA, 'schedule.lr=1e-3'),
  (PACA, 'optim.schedule.learning_rate=1e-3'),
  (PACA, 'num_steps=many'),
  (PACA, 'num_steps=1e3'),
  (PACA, 'num_steps=12.5'),
  (PACA, 'num_steps='),
  (PACA, 'seed=None'),
  (PACA, 'log_every_steps=0'),
  (PACA, 'data.batch_size=-32'),
  (PACA, 'data.batch_size=32,64'),
  (PACA, 'data.split=training'),
  (PACA, 'data.split=train[:150%]'),
  (PACA, 'data.split='),
  (PACA, 'data.data_dir=/proc/nowhere'),
  (PACA, 'data.module=data.images.minst5k'),
  (PACA, 'data.module=data/images/mnist5k.py'),
  (PACA, 'data.module=train_lib.pipeline'),
  (PACA, 'data.preprocess.image_size=32'),
  (PACA, 'data.preprocess.degrees=-10'),
  (PACA, 'data.preprocess.scale=(1.1,0.9)'),
  (PACA, 'data.preprocess.scale=(0.9,)'),
  (PACA, 'data.num_workers=-1'),
  (PACA, 'evals.test.data.split=tests'),
  (PACA, 'evals.test.data.batch_size=0'),
  (PACA, 'evals.validation.every_steps=3'),
  (PACA, 'evals.test.module=train_lib.evaluation'),
  (PACA, 'evals.test.module=train_lib.metrics'),
  (PACA, 'evals.clusters.image_folder=/proc/nowhere'),
  (PACA, 'evals.clusters.num_images=0'),
  (PACA, 'model.num_clusters=(0,0)'),
  (PACA, 'model.num_heads=(3,3)'),
  (PACA, 'model.depths=(1,1,1)'),
  (PACA, 'model.channels=32'),
  (PACA, 'model.num_classes=5'),
  (PACA, 'model.dtype=fp16'),
  (PACA, 'model.dtype=float'),
  (PACA, 'model.clustering.kind=KMeans'),
  (PACA, 'task.module=paca_vit.classification'),
  (PACA, 'task.module=perceiver_io.tasks.optical_flow'),
  (PACA, 'task.label_smoothing=1'),
  (PACA, 'task.mixing=mixup'),
  (PACA, 'optim.name=Adam'),
  (PACA, 'optim.clip_norm=0'),
  (PACA, 'optim.b2=1'),
  (PACA, 'optim.num_microbatches=7'),
  (PACA, 'optim.decay_exclude=("[",)'),
  (PACA, 'optim.decay_exclude=("biass",)'),
  (PACA, 'optim.lr_multipliers=(("haed",10.0),)'),
  (PACA, 'optim.lr_multipliers=("head",10.0)'),
  (PACA, 'optim.schedule.lr=1e-3x'),
  (PACA, 'optim.schedule.lr=inf'),
  (PACA, 'optim.schedule.decay=Cosine'),
  (PACA, 'optim.schedule.warmup_steps=12'),
  (PACA, 'optim.schedule.decay_starts_at_zero=yes please'),
  (PACA, 'checkpoint.best_metric=accuracy'),
  (PACA, 'checkpoint.best_metric=test/acc'),
  (PACA, 'checkpoint.best_metric=tests/accuracy'),
  (PACA, 'checkpoint.best_mode=lowest'),
  (PACA, 'checkpoint.keep_last=all'),
  (PACA, 'mesh.fsdp=4'),
  (PACA, 'mesh.data=0'),
  (PACA, 'mesh.gpus=2'),
  (PACA, 'sharding=(("params","fsdp"),)'),
  (PACA, 'sharding=((".*","model"),)'),
  (PACA, 'init_from.path=runs/nothing'),
  (PACA, 'init_from.path=/proc'),
  (PACA, 'init_from.exclude=(1,)'),
  (PERCEIVER, 'model.encoder.num_self_attend_heads=5'),
  (PERCEIVER, 'model.encoder.num_latents=0'),
  (PERCEIVER, 'model.encoder.remat_policy=all'),
  (PERCEIVER, 'model.encoder.num_blocks=-2'),
  (PERCEIVER, 'model.inputs.kind=fourier'),
  (PERCEIVER, 'model.inputs.max_resolution=(28,)'),
  (PERCEIVER, 'model.num_classes=3'),
  (PERCEIVER, 'model.decoder.query_channels=0'),
  (PERCEIVER, 'data.preprocess.permutation_seed=-1'),
  (PERCEIVER, 'evals.attention.num_latents=0'),
  (BYTES, 'model.num_heads=5'),
  (BYTES, 'model.vocab_size=20'),
  (BYTES, 'model.max_length=16'),
  (BYTES, 'model.implementation=flash'),
  (BYTES, 'data.preprocess.mask_rate=15'),
  (BYTES, 'data.preprocess.tokenizer_model=/proc/nowhere.model'),
  (BYTES, 'task.make_model=perceiver_io.models.mlm'),
  (BYTES, 'task.unmasked_weight=-1'),
  (BYTES, 'evals.baselines.fit.num_examples=0'),
]
# Whole command lines, and what their line names.
LINES = [
  ([f'--confg={PACA}'], 'confg'),
  ([f'--config={PACA.replace("mnist5k", "minst5k")}'], 'config'),
  (['--config=configs/paca_vit/mnist5k'], 'config'),
  (['--config=configs/paca_vit'], 'config'),
  ([f'--config={PACA}y'], 'variant'),
  (['--config=README.md'], 'config'),
  (['--config='], 'config'),
  ([f'--config={PACA}', 'num_steps=3'], 'num_steps'),
  ([f'--config={PACA}', '--num_steps=3'], 'num_steps'),
  ([f'--config={PACA}', '--num_processes=2'], 'coordinator_address'),
  ([f'--config={PACA}', '--num_processes=0'], 'num_processes'),
  ([f'--config={PACA}', '--workdir=/proc/run'], 'workdir'),
  ([f'--config={PACA}', '--workdir=README.md'], 'workdir'),
  ([f'--config={PACA}', '--workdir='], 'workdir'),
  ([f'--config={PACA}', '--workdir=s3://bucket/run'], 'workdir'),
  ([f'--config={PACA}', '--workdir=file:///tmp/run'], 'workdir'),
  ([f'--config={PACA}', '--workdir=~/run'], 'workdir'),
  ([f'--config={PACA}', '--workdir=/tmp/[1]'], 'workdir'),
  ([f'--config={PACA}', '--data_may_differ=perhaps'], 'data_may_differ'),
  ([f'--config={PACA}', '--profile_steps=10'], 'profile_steps'),
  ([f'--config={PACA}', '--profile_steps=3:1'], 'profile_steps'),
  ([f'--config={PACA}', '--profile_steps=3:50'], 'profile_steps'),
]


def mistakes(workdir: str) -> Iterator[tuple[list[str], str]]:
  """(arguments of train.py, what their one line names).

  Args:
    workdir: for those that say none; nothing is trained there.
  """
  for path, value, expected in test_configs_schema.WRONG:
    if expected == 'a tuple' and isinstance(value, str):
      continue  # As it is typed, a text alone is a tuple of one.
    arguments = [f'--config={IMAGENET}', _SYNTHETIC, f'--config.{path}={value}']
    yield [f'--workdir={workdir}', *arguments], path
  for config, option in OPTIONS:
    arguments = [f'--config={config}', f'--config.{option}']
    source = [_SYNTHETIC] if config == BYTES else []
    yield [f'--workdir={workdir}', *arguments, *source], option.split('=')[0]
  for arguments, name in LINES:
    yield [f'--workdir={workdir}', *arguments], name


def sampled(workdir: str, count: int, rng: random.Random):
  """So many of them, in an order that rng decides."""
  found = list(mistakes(workdir))
  return rng.sample(found, min(count, len(found)))
