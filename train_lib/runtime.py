"""What a program needs of its surroundings before it touches a device."""

import collections
import difflib
import errno
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping

import jax
import ml_collections
from absl import app, flags, logging
from ml_collections import config_flags

from train_lib import (
  checks,
  host_memory,
  host_threads,
  joining,
  profiling,
  sections,
  writer,
)

# How errors begin that a user can mend.
_MENDABLE = (
  r'config[.:]|data\.[\w.]+, split |--[a-z]|The (loss|grad_norm|state) of |'
  r'\S+ is of another arch'
)
_FULL = errno.ENOSPC, errno.EDQUOT  # of a disk
COMPILE_CACHE_DIR = '~/.cache/perceiver-paca/xla'
_COMPILED_BEFORE = '/jax/compilation_cache/compile_time_saved_sec'
_WORTH_SAYING = 5.0  # seconds

CONFIG = config_flags.DEFINE_config_file('config')
WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder for checkpoints, metrics and pictures.'
)
PRINT_CONFIG = flags.DEFINE_bool(
  'print_config', False, 'List the options of --config, and end.'
)
DATA_MAY_DIFFER = flags.DEFINE_bool(
  'data_may_differ',
  False,
  'Resume although seed, batch size or data set are not what they were.',
)
PROFILE_STEPS = flags.DEFINE_string(
  'profile_steps',
  None,
  'First and last step of which a trace is written to the workdir: 10:13.',
)
DISTRIBUTED = flags.DEFINE_bool(
  'distributed',
  False,
  'Join other processes although the environment does not tell of any; implied '
  'by --coordinator_address and where a launcher is recognised.',
)
COORDINATOR_ADDRESS = flags.DEFINE_string(
  'coordinator_address', None, 'host:port of process 0, if not detected.'
)
NUM_PROCESSES = flags.DEFINE_integer(
  'num_processes', None, 'Number of processes, if not detected.', lower_bound=1
)
PROCESS_ID = flags.DEFINE_integer(
  'process_id', None, 'Which one this is, from 0, if not detected.'
)


@flags.validator('profile_steps')
def _check_profile_steps(value: str | None) -> bool:
  try:
    return value is None or bool(profiling.steps_of(value))
  except ValueError as e:
    raise flags.ValidationError(str(e)) from e


@flags.multi_flags_validator(
  ['distributed', 'coordinator_address', 'num_processes', 'process_id']
)
def _check_processes(values: Mapping[str, object]) -> bool:
  values = dict(values)
  detected = values.pop('distributed') or is_multi_process(os.environ)
  missing = [f'--{name}' for name, value in values.items() if value is None]
  if 0 < len(missing) < len(values) and not detected:
    raise flags.ValidationError(
      f'{" and ".join(missing)} missing; no launcher is recognised, so all '
      'three are expected.'
    )
  address, count, index = values.values()
  if address is not None and not re.fullmatch(r'.+:\d+', address):
    raise flags.ValidationError('--coordinator_address: expected host:port.')
  if None not in (count, index) and not 0 <= index < count:
    raise flags.ValidationError(f'--process_id: expected 0 to {count - 1}.')
  return True


def run(
  main: Callable[[list[str]], None],
  check: Callable[[ml_collections.ConfigDict], None] | None = None,
) -> None:
  """`app.run`, but what a user can mend is said in one line, without a trace.

  Those are errors that begin with the name of an option, and what happens to
  numbers and disks. Everything else is a fault of the program, and so is what
  goes wrong with a config as it stands in its file, unless a check says so.
  --verbosity=1 shows all traces.

  Args:
    main: called with what are no flags.
    check: called with --config, if there is one, before anything is done; such
      programs have flags only.
  """

  def guarded(argv):
    try:
      if check is not None and len(argv) > 1:
        raise ValueError(f'--{argv[1]}: found without --; expected flags.')
      if check is not None and CONFIG.value is not None:
        check(CONFIG.value)
      main(argv)
    except (ValueError, OSError, ArithmeticError, RuntimeError) as e:
      text = ' '.join(str(e).split())
      if isinstance(e, OSError) and e.errno in _FULL:
        text = f'--workdir: {e.filename or WORKDIR.value}: {e.strerror}.'
      if not re.match(_MENDABLE, text) or _is_a_fault(e):
        raise
      sys.exit(f'{checks.program()}: {text}')

  app.run(guarded, flags_parser=parse_flags)


def _is_a_fault(error: Exception) -> bool:
  """Whether the trace of an error that names an option is to be seen."""
  by_chance = isinstance(error, checks.ConfigError) and not isinstance(
    error.__cause__, ValueError | OSError
  )
  as_in_file = not any(x.startswith('--config.') for x in sys.argv)
  wanted = logging.get_verbosity() > logging.INFO
  return wanted or (by_chance and as_in_file)


def parse_flags(argv: list[str]) -> list[str]:
  """absl's parser, but it ends with one line that says what is wrong.

  For `app.run(main, flags_parser=...)`.
  """
  try:
    file = _config_of(argv).partition(':')[0]
    if file and not (os.path.isfile(file) and file.endswith('.py')):
      raise FileNotFoundError(f'--config: there is no Python file {file}')
    if any(re.fullmatch('--?config=', x) for x in argv):
      raise ValueError('--config: found nothing; expected a Python file.')
    if any(re.match(r'--?config\.', x) for x in argv) and file:
      argv = sections.switched_on(argv, _in_file(argv))
      sys.argv[:] = argv  # Where the flag of configs looks for options.
    return flags.FLAGS(argv)
  except (AttributeError, KeyError) as e:
    frames = traceback.extract_tb(e.__traceback__)
    if not any(f.filename.endswith('config_path.py') for f in frames):
      raise  # The config file itself is at fault.
    name = re.search(r'\w+', str(e.args[0]).removeprefix('KeyError('))[0]
    text = f'--config has no option {name!r}{_elsewhere(name, argv)}'
  except (flags.Error, ValueError, OSError, ModuleNotFoundError) as e:
    text = str(e).strip()
    if 'Traceback' in text:  # of the config file; its last line is the error
      text = text.splitlines()[-1].removeprefix('ValueError: ')
    text = ' '.join(text.split())
  sys.exit(f'FATAL Flags parsing error: {text}')


def _config_of(argv: list[str]) -> str:
  """What --config says, '' if nothing."""
  named = [x.partition('=')[2] for x in argv if re.match('--?config=', x)]
  return named[-1] if named else ''


def _in_file(argv: list[str]) -> ml_collections.ConfigDict:
  """What --config names, as it stands in its file."""
  file, _, variant = _config_of(argv).partition(':')
  spec = importlib.util.spec_from_file_location('meant', file)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(*[variant] if variant else [])


def _elsewhere(name: str, argv: list[str]) -> str:
  """Where in the config that was meant there is such an option or section."""
  paths = collections.defaultdict(list)
  for path in _paths(_in_file(argv)):
    paths[path.removesuffix('.').rpartition('.')[2]].append(f'--config.{path}')
  like = difflib.get_close_matches(name, paths, n=2, cutoff=0.75)
  found = [path for x in like for path in paths[x]][:4]
  return f'; there is {" and ".join(found)}' if found else ''


def _paths(config: ml_collections.ConfigDict, path: str = '') -> list[str]:
  """Of all options, and of sections, which end in a dot."""
  found = []
  for key, x in config.items():
    if isinstance(x, ml_collections.ConfigDict):
      found += [f'{path}{key}.', *_paths(x, f'{path}{key}.')]
    else:
      found.append(f'{path}{key}')
  return found


def config_file() -> str | None:
  """What --config names, with its variant; None if it is not given."""
  if CONFIG.value is None:
    return None
  return config_flags.get_config_filename(flags.FLAGS['config'])


def initialize() -> None:
  """Joins the other processes, if there are any, and sets the compile cache.

  Memory that is freed is kept, too, and NumPy's products take one thread. To be
  called before any device is touched.
  """
  host_memory.keep_freed()
  host_threads.one_a_product()
  if not flags.FLAGS['verbosity'].present:
    # Libraries tell their every step, and of an error in every thread of theirs
    # that sees it; it is raised, too.
    logging.set_verbosity(logging.FATAL)
  if (
    DISTRIBUTED.value
    or COORDINATOR_ADDRESS.value
    or is_multi_process(os.environ)
  ):
    joining.join(
      COORDINATOR_ADDRESS.value, NUM_PROCESSES.value, PROCESS_ID.value
    )
  if not jax.config.jax_compilation_cache_dir:
    jax.config.update(
      'jax_compilation_cache_dir', os.path.expanduser(COMPILE_CACHE_DIR)
    )
  jax.monitoring.register_event_duration_secs_listener(_say_compiled_before)


def _say_compiled_before(event: str, seconds: float, **_) -> None:
  if event == _COMPILED_BEFORE and seconds > _WORTH_SAYING:
    folder = jax.config.jax_compilation_cache_dir
    writer.say(f'Compiled before ({folder}): {seconds:.0f} s saved.')


def is_multi_process(environ: Mapping[str, str]) -> bool:
  """Whether a launcher that JAX knows says that there are several processes.

  JAX then finds their addresses by itself. A batch job of one task, or a shell
  on a cluster's node, is a single process.
  """
  counts = ('SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE')
  if any(int(environ.get(name) or 1) > 1 for name in counts):
    return True
  if 'KUBERNETES_SERVICE_HOST' in environ and 'JOB_COMPLETION_INDEX' in environ:
    return True
  if 'MEGASCALE_COORDINATOR_ADDRESS' in environ:  # Several TPU slices.
    return True
  return ',' in environ.get('TPU_WORKER_HOSTNAMES', '')


def required_workdir() -> str:
  """--workdir, which not everything needs.

  Raises:
    ValueError: there is none.
  """
  if not WORKDIR.value:
    raise ValueError('--workdir: expected a folder for the run, found none.')
  return WORKDIR.value
