"""Every command that README, docs/ and docstrings quote runs, at a small size.

Each is a process, as a user would start it; those that train the same when they
are small are one. How it becomes small is said here for each program; what
cannot run in a test is named with the reason. A quoted command of which neither
is said fails.
"""

import dataclasses
import importlib
import importlib.util
import json
import re
import shlex
import subprocess

import pytest

from tests import quoted_commands
from tests.processes import ROOT, environment

COMMANDS = quoted_commands.collect()

ELSEWHERE = {  # pattern of the command: why not here, and where instead
  r'pip install |python -m venv |git clone ': 'changes the environment',
  r'make \S+$': 'sets up environments; the Makefile holds what it runs',
  r'tests\.campaign': 'an hour: tests/test_campaign.py starts parts of it',
  r'launch/': 'needs a cloud or SLURM: tests/test_launch.py has stand-ins',
  r'docker ': 'needs Docker',
  r'data\.prepare (images|segmentation|language)\.|nyu_depth_v2': (
    'needs TensorFlow and a download: tests/test_data_tfds_source.py'
  ),
  r'data\.prepare ': "needs its user's files: tests/test_data_prepare.py",
  r'benchmarks\.predictions': "needs its user's files: tests/test_own_data.py",
  r'simple_baselines': 'tests/test_tools_simple_baselines.py',
  r'finetune|autoencode_clips|arrays\.py|predict\.py': (
    "needs its user's files: tests/test_own_data.py, test_predict.py"
  ),
  r'--workdir=runs/(photos|scenes|texts|sounds|clips|heard_and_seen|'
  r'autoencoded|things|measured)$': (
    "needs its user's files: tests/test_own_data.py"
  ),
  r'configs/paca_vit/(coco|nuclei|objects)\.py': (
    'detectors, compiled for minutes: tests/test_paca_vit_tasks_detection.py'
  ),
  r'tools\.results$': 'writes into docs/; with --check it compares',
  r'tools\.claims( --only=\S+)?$': 'hours: tests/test_tools_claims.py',
  r'tools\.claims --report': 'writes into docs/: tests/test_tools_claims.py',
  r'bash benchmarks/gpu\.sh': 'tests/test_benchmarks_gpu.py',
  r'tools\.convert_weights': (
    'needs published files: tests/test_tools_convert_weights.py'
  ),
  r'tools\.compile_check': "needs the TPU's compiler: make tpu-compile",
  r'benchmarks\.kernels': "needs a GPU's profile",
  r'tools\.playground': (
    'serves until it is ended: tests/test_tools_playground*.py'
  ),
  r'\$\(': "a model's workdir: tests/test_zoo_models.py",
  r'tools\.zoo_entry': "needs a run of one's own: tests/test_tools_zoo.py",
  r'tools\.export': "needs a run of one's own: tests/test_tools_export.py",
  r'benchmarks\.(attention_memory|detection_ops|export|full_size|scaling)|'
  r'benchmarks\.high_res': (
    'one size, its own: minutes and GiB; tests/test_benchmarks_*.py'
  ),
}

FLAGS = {  # pattern of the command: the flags that make it small
  r'tools\.flow_wheel': {'output': '{folder}/wheel.png'},
  r'tools\.train_sentencepiece': {
    'model': '{folder}/small.model',
    'module': 'data.language.python_docs',
    'vocab_size': '300',
    'num_examples': '50',
  },
  r'benchmarks\.peers --report': {'check': 'true'},
  r'benchmarks\.peers': {  # PyTorch's sides: make parity
    'only': 'input_crop',
    'sides': 'ours',
    'passes': '1',
    'json': '{folder}/peers.json',
  },
  r'benchmarks\.layer_kinds': {
    'batch_size': '1',
    'image_size': '32',
    'passes': '1',
  },
  r'benchmarks\.depthwise_conv': {'batch_size': '1'},
  r'benchmarks\.attention_speed': {'tiny': 'true', 'only': 'stage 3'},
  r'benchmarks\.throughput': {'batch_size': '2', 'steps': '1'},
  r'benchmarks\.input_workers': {'batches': '1', 'turns': '1'},
  r'tools\.strip': {'output': '{folder}/strip.png'},
  r'tools\.(plot_metrics|report|results|paper_tables|claims)': {},
  r'tools\.zoo( |$)|benchmarks\.compile_time': {},
  r'^python (train|eval)\.py ': {},
}

# Configs without a variant `tiny`: the flags that make their models small.
_PACA = {
  'config.model.channels': '(8,8,8,8)',
  'config.model.depths': '(1,1,1,1)',
  'config.model.num_heads': '(1,1,1,1)',
}
MODELS = {
  'configs/paca_vit/imagenet.py': _PACA
  | {'config.data.preprocess.image_size': '64'},
  'configs/paca_vit/high_resolution.py': _PACA
  | {'config.data.preprocess.image_size': '64'},
  'configs/paca_vit/ade20k.py': _PACA
  | {
    'config.data.preprocess.crop_size': '64',
    'config.data.preprocess.bounds': '(128,64)',
  },
  'configs/paca_vit/depth.py': {},
  'configs/perceiver_io/imagenet.py': {
    'config.model.encoder.num_blocks': '1',
    'config.model.encoder.num_self_attends_per_block': '1',
    'config.model.encoder.num_latents': '8',
    'config.data.preprocess.image_size': '64',
  },
  'configs/baselines/entity_transformer.py': {},
}

# Runs that commands begin from and no quoted command trains: their configs.
BEFORE = {
  '/path/to/imagenet/run': 'configs/paca_vit/imagenet.py:small_p2cconv_100_0',
  'weights/small': 'configs/paca_vit/imagenet.py:small_p2cconv_100_0',
  'runs/tiny': 'configs/paca_vit/imagenet.py:tiny_p2cconv_100_0',
  'runs/patch3_first': 'configs/perceiver_io/optical_flow.py:patch3',
}


@dataclasses.dataclass
class Command:
  """Attributes: words and flags {name: value}; what follows > is left out."""

  words: list[str]
  flags: dict[str, str]

  @classmethod
  def of(cls, line):
    words, flags = [], {}
    for word in shlex.split(line.split(' > ')[0]):
      name, equals, value = word.removeprefix('--').partition('=')
      if word.startswith('--'):
        flags[name] = value if equals else None
      else:
        words.append(word)
    return cls(words, flags)

  @property
  def trains(self):
    return 'train.py' in self.words

  def run(self, folder):
    flags = [
      f'--{name}' if value is None else f'--{name}={value}'
      for name, value in self.flags.items()
    ]
    done = subprocess.run(
      [*self.words, *flags],
      cwd=ROOT,
      env=environment(TFDS_DATA_DIR=str(folder / 'data_sets')),
      capture_output=True,
      text=True,
      timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'Traceback' not in done.stderr


def module_of(path):
  return importlib.import_module(path.removesuffix('.py').replace('/', '.'))


def small_config(path_and_variant):
  """The config with variant `tiny`, if it has one, and the flags it needs."""
  path, _, variant = path_and_variant.partition(':')
  module = module_of(path)
  config = module.get_config(variant) if variant else module.get_config()
  if 'tiny' in module.VARIANTS:
    config, variant = module.get_config('tiny'), 'tiny'
    flags = {}
  else:
    assert path in MODELS, f'{path}: expected a variant `tiny`, or its flags'
    flags = dict(MODELS[path])
  flags |= {'config.num_steps': '2'}
  for option in ('warmup_steps', 'flat_steps'):
    if option in config.optim.schedule:
      flags[f'config.optim.schedule.{option}'] = '0'
  for section, data in [('config', config)] + [
    (f'config.evals.{name}', evaluation)
    for name, evaluation in config.evals.items()
  ]:
    data = data.get('data', {})
    for option, value in (('source', 'synthetic'), ('batch_size', '8')):
      if option in data:
        flags[f'{section}.data.{option}'] = value
  return f'{path}:{variant}' if variant else path, flags


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp('commands')


@pytest.fixture(scope='module')
def trained(folder):
  """Trains what differs once: workdir of the flags of train.py."""
  runs = {}

  def train(flags):
    flags = {k: v for k, v in flags.items() if k != 'workdir'}
    key = json.dumps(flags, sort_keys=True)
    if key not in runs:
      workdir = runs[key] = str(folder / f'run{len(runs)}')
      words = ['python', 'train.py']
      Command(words, flags | {'workdir': workdir}).run(folder)
    return runs[key]

  return train


def training_of(workdir, config=None):
  """The command that trains a config, or the quoted one into a workdir."""
  if config := config or BEFORE.get(workdir):
    return Command(['python', 'train.py'], {'config': config})
  for line in COMMANDS:
    command = Command.of(line)
    if command.trains and command.flags['workdir'] == workdir:
      return command
  raise AssertionError(f'{workdir}: no quoted command trains into it')


def small(command, trained):
  """The command with small flags; what it begins from is trained first."""
  flags = dict(command.flags)
  if config := flags.get('config'):
    flags['config'], more = small_config(config)
    if not any(word.startswith('benchmarks') for word in command.words):
      flags |= more
  if before := flags.get('config.init_from.path'):
    flags['config.init_from.path'] = trained(
      small(training_of(before), trained).flags
    )
  return Command(command.words, flags)


def flags_of(line):
  for pattern, flags in FLAGS.items():
    if re.search(pattern, line):
      return flags
  return None


def is_elsewhere(line):
  return any(re.search(pattern, line) for pattern in ELSEWHERE)


def test_every_quoted_command_has_a_small_form():
  assert len(COMMANDS) > 20
  unknown = {
    line: file
    for line, file in COMMANDS.items()
    if not is_elsewhere(line) and flags_of(line) is None
  }
  assert not unknown, 'neither in FLAGS nor in ELSEWHERE of this file'


def test_nothing_is_excused_in_vain():
  for pattern in [*ELSEWHERE, *FLAGS]:
    assert any(re.search(pattern, line) for line in COMMANDS), pattern


def has_option(config, flag):
  """Whether there is what --config.data.split=... sets."""
  for part in flag.split('.')[1:]:
    if part not in config:
      return False
    config = config[part]
  return True


def test_programs_configs_and_options_exist():
  """Of every command, also of those that do not run here; small or not."""
  for line, file in COMMANDS.items():
    command = Command.of(line)
    if '-m' in command.words:
      module = command.words[command.words.index('-m') + 1]
      assert module == 'venv' or importlib.util.find_spec(module), (file, line)
    quoted = command.flags.get('config', '')
    if '.py' not in quoted:
      continue
    forms = [(quoted, command.flags)]
    if not is_elsewhere(line):
      forms.append(small_config(quoted))
    for config, flags in forms:
      path, _, variant = config.partition(':')
      value = module_of(path).get_config(*[variant] if variant else [])
      for name in flags:
        if name.startswith('config.'):
          assert has_option(value, name), f'{file}: {line}: --{name}'


@pytest.mark.full
@pytest.mark.parametrize(
  'line', [line for line in COMMANDS if not is_elsewhere(line)]
)
def test_runs_as_quoted(line, folder, trained):
  command = small(Command.of(line), trained)
  if command.trains:
    trained(command.flags)
    return
  if 'config.init_from.path' in command.flags:
    command.flags['workdir'] = str(folder / 'untrained')
  elif workdir := command.flags.get('workdir'):
    run = training_of(workdir, Command.of(line).flags.get('config'))
    command.flags['workdir'] = trained(small(run, trained).flags)
  for name, value in flags_of(line).items():
    command.flags[name] = value.format(folder=folder)
  command.run(folder)
