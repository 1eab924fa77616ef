"""What a run keeps of itself in its workdir, beside checkpoints and metrics.

config.json has the config with all overrides and all that was derived from the
data, and the versions of what ran; classes.txt the names of the classes, in the
order of their labels. So `eval.py` and `predict.py` need only --workdir.

A config may have a section `derive`: what fine-tuning on somebody's own data
takes from them, see `derived`.
"""

import hashlib
import importlib.metadata
import json
import math
import pathlib
import platform
import subprocess
from typing import Any

import jax
import ml_collections

from train_lib import agreement, lock, pipeline, places, writer

_CONFIG, _CLASSES = FILES = 'config.json', 'classes.txt'
_PACKAGES = ('jax', 'flax', 'optax', 'orbax-checkpoint', 'numpy', 'pillow')


def derived(
  config: ml_collections.ConfigDict,
) -> tuple[ml_collections.ConfigDict, tuple[str, ...] | None]:
  """A config without `derive`, whose open numbers are those of its data.

  `config.derive` has

    epochs, min_steps: num_steps is the larger of the two.
    warmup_share: of num_steps, that the learning rate rises.
    num_evaluations: on the way; as often the run is saved.
    linear_probe: train nothing but what is new, which `init_from.exclude` is
      found in: optim.frozen becomes the rest.
    outputs: the names of the options that are the number of outputs.

  A data module may have `derived(source)`, which returns further options and
  their values. Only options that are None are set. All is printed.

  Args:
    config: of a run; unchanged if it has no section `derive`.

  Returns:
    The new config, and the names of the classes if the data have such.

  Raises:
    ValueError: naming what the data cannot be used for.
  """
  if 'derive' not in config:
    return config, None
  config = config.copy_and_resolve_references()
  config.unlock()
  derive = config.derive
  del config.derive
  source, module = pipeline.open_source(config.data)
  classes = source[0].get('classes')
  steps_per_epoch = max(1, len(source) // config.data.batch_size)
  num_steps = max(math.ceil(derive.epochs * steps_per_epoch), derive.min_steps)
  _set(config, 'num_steps', num_steps)
  every = max(1, config.num_steps // derive.num_evaluations)
  warmup = round(derive.warmup_share * config.num_steps)
  _set(config, 'optim.schedule.warmup_steps', warmup)
  _set(config, 'checkpoint.every_steps', every)
  _set(config, 'log_every_steps', max(1, min(50, config.num_steps // 20)))
  for name in derive.outputs:
    _set(config, name, len(classes) if classes else source[0]['num_outputs'])
  if hasattr(module, 'derived'):
    for name, value in module.derived(source).items():
      _set(config, name, value)
  best = config.checkpoint.best_metric
  if classes is None and best.endswith('/accuracy'):  # Numbers have none.
    config.checkpoint.best_metric = best.replace('/accuracy', '/loss')
    config.checkpoint.best_mode = 'min'
  for section in config.evals.values():
    _set(section, 'every_steps', every)
  writer.say(
    f'{config.data.data_dir or config.data.source}: {len(source)} examples to '
    f'train, {_named(classes)}{config.num_steps} steps of '
    f'{config.data.batch_size}, '
    f'{config.num_steps / steps_per_epoch:.1f} epochs, '
    f'{config.optim.schedule.warmup_steps} of warm-up.'
  )
  if derive.linear_probe:
    new = '|'.join(x.removeprefix('params/') for x in config.init_from.exclude)
    config.optim.frozen = (rf'^(?!.*(?:{new}))',)
    writer.say(f'Trained alone: what {new!r} is found in.')
  if config.init_from.path:
    writer.say(
      f'Weights: {config.init_from.path}, without what '
      f'{list(config.init_from.exclude)} is found in.'
    )
  return config.lock(), classes


def write(
  workdir: str,
  config: ml_collections.ConfigDict,
  classes: tuple[str, ...] | None,
  file_name: str | None,
) -> None:
  """Writes config.json and classes.txt, on process 0, if all processes agree.

  A run that has checkpoints and is of another model keeps its own: it is about
  to end with an error that lists both.

  Args:
    workdir: made if it does not exist.
    config: of the run.
    classes: names, if the data have such.
    file_name: what --config named.

  Raises:
    ValueError: other processes have another config, code or workdir, or
      another run has the workdir.
  """
  root = places.make(workdir)
  agreement.check(config, workdir)
  if jax.process_index():
    return
  lock.Lock(workdir).close()  # Nobody else's is written over.
  if (root / 'checkpoints').exists() and (root / _CONFIG).exists():
    changed = []
    try:
      changed = differing(config, read_config(workdir))
    except ValueError as e:
      writer.say(f'{e} It is written anew.')
    if changed:
      writer.say(f'config: differs from the run so far in {changed}.')
    if any(name.startswith(('model.', 'task.')) for name in changed):
      return
  versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
  values = json.loads(config.to_json_best_effort())
  text = json.dumps(
    {
      'file': file_name,
      'config': values,
      'digest': _digest(values),
      'code': _code_version(),
      'versions': versions | {'python': platform.python_version()},
      'devices': f'{jax.device_count()} {jax.devices()[0].device_kind}',
    },
    indent=2,
  )
  places.write_text(root / _CONFIG, text + '\n')
  if classes is not None:
    lines = (' '.join(name.split()) + '\n' for name in classes)
    places.write_text(root / _CLASSES, ''.join(lines))


def read_config(workdir: str) -> ml_collections.ConfigDict:
  """The config that a run was started with.

  Raises:
    FileNotFoundError: the workdir has none.
    ValueError: it is damaged.
  """
  values = _read(workdir)['config']
  return ml_collections.ConfigDict(_with_tuples(values)).lock()


def read_file_name(workdir: str) -> str | None:
  """What --config named when the run was started."""
  return _read(workdir)['file']


def read_classes(workdir: str) -> tuple[str, ...] | None:
  """The names of the classes of a run; None if it has none."""
  path = places.of(workdir) / _CLASSES
  if not path.exists():
    return None
  return tuple(path.read_text(encoding='utf-8').splitlines())


def config_of(
  config: ml_collections.ConfigDict | None, workdir: str
) -> ml_collections.ConfigDict:
  """The config of --config or, without, that of the run.

  Where both are there, the fields in which they differ are printed, and
  --config counts.
  """
  if config is None:
    return read_config(workdir)
  if (places.of(workdir) / _CONFIG).exists():
    if 'derive' in config:
      config = derived(config)[0]
    try:
      own = read_config(workdir)
    except ValueError as e:
      writer.say(str(e))
      return config
    changed = differing(config, own)
    if changed:
      writer.say(f'--config differs from the run in {changed}; it counts.')
  return config


def differing(
  config: ml_collections.ConfigDict, other: ml_collections.ConfigDict
) -> list[str]:
  """The names of the options that two configs do not share, sorted."""
  ours, theirs = (
    dict(_leaves(_with_tuples(json.loads(x.to_json_best_effort()))))
    for x in (config, other)
  )
  missing = object()
  return sorted(
    name
    for name in ours.keys() | theirs.keys()
    if ours.get(name, missing) != theirs.get(name, missing)
  )


def _read(workdir: str) -> dict[str, Any]:
  path = places.of(workdir) / _CONFIG
  try:
    with places.said():
      text = path.read_bytes()
    found = json.loads(text)
    values, _ = found['config'], found['file']
    if 'digest' in found and found['digest'] != _digest(values):
      writer.say(f'{path} was changed since the run wrote it.')
    return found
  except (ValueError, LookupError, TypeError) as e:
    raise ValueError(
      f'--workdir: {path} is damaged ({type(e).__name__}: {e!s:.80}); --config '
      'names the config of its run.'
    ) from e
  except OSError as e:
    if not isinstance(e, FileNotFoundError | NotADirectoryError):
      raise OSError(f'--workdir: {path} cannot be read ({e}).') from e
    raise FileNotFoundError(
      f'--workdir: expected the folder of a run with {_CONFIG}, found none in '
      f'{workdir}; --config names the config of an older run.'
    ) from e


def _digest(values: dict) -> str:
  """Of a config's values, in any order."""
  return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _leaves(values: dict, prefix: str = ''):
  for name, value in values.items():
    if isinstance(value, dict) and value:
      yield from _leaves(value, f'{prefix}{name}.')
    else:
      yield f'{prefix}{name}', value


def _with_tuples(values: Any) -> Any:
  """JSON's lists as the tuples that they were: models must be hashable."""
  if isinstance(values, dict):
    return {name: _with_tuples(value) for name, value in values.items()}
  if isinstance(values, list):
    return tuple(map(_with_tuples, values))
  return values


def _set(config: ml_collections.ConfigDict, path: str, value: Any) -> None:
  """Sets what is None."""
  *sections, name = path.split('.')
  for section in sections:
    config = config[section]
  if config[name] is None:
    config[name] = value


def _named(classes: tuple[str, ...] | None) -> str:
  if not classes:
    return ''
  shown = ', '.join(classes[:8]) + (', ...' if len(classes) > 8 else '')
  return f'{len(classes)} classes ({shown}), '


def _code_version() -> str | None:
  """The commit of the checkout, with -dirty if files were changed since."""
  root = pathlib.Path(__file__).parent.parent
  command = ['git', '-C', str(root), 'describe', '--always', '--dirty']
  try:
    found = subprocess.run(command, capture_output=True, text=True, timeout=10)
  except (OSError, subprocess.TimeoutExpired):
    return None
  return found.stdout.strip() or None
