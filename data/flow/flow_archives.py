"""The published sets of optical flow: AutoFlow, FlyingChairs, Sintel, KITTI.

Their archives, as they are downloaded, go into one folder:

  autoflow       static_40k_png_1_of_4.zip to static_40k_png_4_of_4.zip
                 (autoflow-google.github.io; the public tenth, 40,000 pairs)
  flying_chairs  FlyingChairs.zip and FlyingChairs_train_val.txt
                 (lmb.informatik.uni-freiburg.de)
  sintel         MPI-Sintel-complete.zip (sintel.is.tue.mpg.de)
  kitti2015      data_scene_flow.zip (cvlibs.net)

and are read from there, once, without being unpacked:

  python -m data.prepare flow.flow_archives sintel kitti2015 \
    --data_dir DIR --manual_dir ARCHIVES

A pair with a broken file is named, left out and counted. A split is
'<set>/<split of TFDS>': 'autoflow/train', 'flying_chairs/train' and
'flying_chairs/validation' (the authors' division), 'sintel_clean/train',
'sintel_final/train', 'kitti2015/train' (with occluded pixels). What these sets
call test has no public flow.
"""

import io
import pathlib
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from data import tfds_source
from data.flow import flow, flow_io
from train_lib import writer

preprocess = flow.preprocess
synthetic = flow.synthetic

_COMMAND = (
  'python -m data.prepare flow.flow_archives {} --data_dir DIR '
  '--manual_dir ARCHIVES'
)


class Pair(NamedTuple):
  """Members of an archive."""

  frame1: str
  frame2: str
  flow: str


def features() -> tfds.features.FeaturesDict:
  """Of every data set of flow; see `flow`."""
  return tfds.features.FeaturesDict(
    {
      'name': tfds.features.Text(),
      'frame1': tfds.features.Image(encoding_format='png'),
      'frame2': tfds.features.Image(encoding_format='png'),
      # TFDS stores arrays of two unknown sides only compressed.
      'flow': tfds.features.Tensor(
        shape=(None, None, 2), dtype=np.float32, encoding='zlib'
      ),
      'valid': tfds.features.Tensor(
        shape=(None, None), dtype=np.uint8, encoding='zlib'
      ),
    }
  )


class _Archives(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Examples of pairs in archives of the manual folder."""

  MANUAL_DOWNLOAD_INSTRUCTIONS = 'See the top of flow_archives.py.'
  HOMEPAGE: str

  def _info(self):
    return self.dataset_info_from_configs(
      features=features(), homepage=self.HOMEPAGE
    )

  def _generate_examples(self, pairs: dict[str, list[Pair]]) -> Iterator[Any]:
    """Yields the examples of the pairs of each archive, by its path."""
    broken = total = 0
    for path, members in pairs.items():
      with zipfile.ZipFile(path) as archive:
        for pair in members:
          total += 1
          try:
            yield pair.flow, read_pair(archive, pair)
          except (ValueError, OSError, zipfile.BadZipFile) as e:
            broken += 1
            writer.say(f'Left out: {e}')
    writer.say(f'{self.name}: {total - broken} pairs, {broken} left out.')


class AutoFlow(_Archives):
  """AutoFlow's public pairs (Sun et al. 2021), 448 x 576 pixels."""

  name = 'autoflow'
  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'static_40k_png.'}
  HOMEPAGE = 'https://autoflow-google.github.io'

  def _split_generators(self, dl_manager):
    pairs = {}
    for i in range(1, 5):
      path = _archive(dl_manager, f'static_40k_png_{i}_of_4.zip')
      folders = _folders(path, '/forward.flo')
      pairs[path] = [
        Pair(f'{x}/im0.png', f'{x}/im1.png', f'{x}/forward.flo')
        for x in folders
      ]
    return {'train': self._generate_examples(pairs)}


class FlyingChairs(_Archives):
  """FlyingChairs (Dosovitskiy et al. 2015), 384 x 512 pixels."""

  name = 'flying_chairs'
  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': "The authors' division."}
  HOMEPAGE = 'https://lmb.informatik.uni-freiburg.de'

  def _split_generators(self, dl_manager):
    path = _archive(dl_manager, 'FlyingChairs.zip')
    stems = _folders(path, '_flow.flo')
    division = _archive(dl_manager, 'FlyingChairs_train_val.txt')
    numbers = pathlib.Path(division).read_text().split()
    if len(numbers) != len(stems) or set(numbers) - {'1', '2'}:
      raise ValueError(
        f'{division}: found {len(numbers)} numbers, expected a 1 or 2 for each '
        f'of the {len(stems)} pairs.'
      )
    return {
      split: self._generate_examples(
        {
          path: [
            Pair(f'{x}_img1.ppm', f'{x}_img2.ppm', f'{x}_flow.flo')
            for x, number in zip(stems, numbers, strict=True)
            if number == wanted
          ]
        }
      )
      for split, wanted in (('train', '1'), ('validation', '2'))
    }


class _Sintel(_Archives):
  """MPI Sintel's training films (Butler et al. 2012), 436 x 1024 pixels."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'All 1,041 pairs.'}
  HOMEPAGE = 'http://sintel.is.tue.mpg.de'
  FILMS: str  # how the films are rendered

  def _split_generators(self, dl_manager):
    path = _archive(dl_manager, 'MPI-Sintel-complete.zip')
    pairs = []
    for stem in _folders(path, '.flo'):
      film, _, number = stem.rpartition('_')
      film = film.replace('training/flow/', f'training/{self.FILMS}/')
      following = f'{int(number) + 1:0{len(number)}}'
      pairs.append(
        Pair(f'{film}_{number}.png', f'{film}_{following}.png', f'{stem}.flo')
      )
    return {'train': self._generate_examples({path: pairs})}


class SintelClean(_Sintel):
  """Sintel without atmosphere and blur."""

  name = 'sintel_clean'
  FILMS = 'clean'


class SintelFinal(_Sintel):
  """Sintel as the film shows it."""

  name = 'sintel_final'
  FILMS = 'final'


class Kitti2015(_Archives):
  """KITTI's streets (Menze and Geiger 2015), about 375 x 1242 pixels."""

  name = 'kitti2015'
  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'flow_occ of the 200 training pairs.'}
  HOMEPAGE = 'https://www.cvlibs.net/datasets/kitti'

  def _split_generators(self, dl_manager):
    path = _archive(dl_manager, 'data_scene_flow.zip')
    pairs = []
    for stem in _folders(path, '.png'):
      folder, _, name = stem.rpartition('/')
      if folder.endswith('training/flow_occ'):
        frames = folder.replace('flow_occ', 'image_2')
        street = name.removesuffix('_10')
        pairs.append(
          Pair(
            f'{frames}/{street}_10.png',
            f'{frames}/{street}_11.png',
            f'{stem}.png',
          )
        )
    return {'train': self._generate_examples({path: pairs})}


# What is named on the command line, and the data sets it prepares.
_BUILDERS = {
  'autoflow': (AutoFlow,),
  'flying_chairs': (FlyingChairs,),
  'sintel': (SintelClean, SintelFinal),
  'kitti2015': (Kitti2015,),
}


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """Raw examples; see `flow`. Raises ValueError for an unknown split."""
  name, _, part = split.partition('/')
  known = [cls.name for classes in _BUILDERS.values() for cls in classes]
  if name not in known or not part:
    raise ValueError(
      f"config.data.split: found {split!r}; expected '<set>/<split>' with a "
      f"set of {known}, such as 'sintel_clean/train'."
    )
  argument = name.removesuffix('_clean').removesuffix('_final')
  return tfds_source.open_prepared(
    name, part, data_dir, command=_COMMAND.format(argument), decoders={}
  )


def read_pair(archive: zipfile.ZipFile, pair: Pair) -> dict[str, Any]:
  """A pair as TFDS takes it.

  Raises:
    ValueError: a file is missing, broken or of another size than the others;
      it says which.
  """
  name = f'{archive.filename}: {pair.flow}'
  decode = flow_io.decode_flo
  if pair.flow.endswith('.png'):
    decode = flow_io.decode_kitti
  motion, valid = decode(_member(archive, pair.flow), name)
  frames = []
  for member in (pair.frame1, pair.frame2):
    try:
      file = io.BytesIO(_member(archive, member))
      image = PIL.Image.open(file, formats=('PNG', 'PPM', 'JPEG'))
      frames.append(image.convert('RGB'))
    except (OSError, SyntaxError) as e:
      raise ValueError(f'{archive.filename}: {member}: {e}') from e
    if image.size != valid.shape[::-1]:
      raise ValueError(
        f'{archive.filename}: {member}: {image.size} pixels, expected the '
        f'{valid.shape[::-1]} of {pair.flow}.'
      )
  return {
    'name': pair.flow,
    'frame1': frames[0],
    'frame2': frames[1],
    'flow': motion,
    'valid': valid,
  }


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
  try:
    return archive.read(name)
  except (KeyError, zipfile.BadZipFile, EOFError) as e:
    raise ValueError(f'{archive.filename}: {name}: {e}') from e


def _archive(dl_manager, name: str) -> str:
  path = pathlib.Path(dl_manager.manual_dir) / name
  if not path.exists():
    raise FileNotFoundError(
      f'--manual_dir: found no {name} in {path.parent}; the top of '
      'data/flow/flow_archives.py says where it comes from.'
    )
  return str(path)


def _folders(path: str, suffix: str) -> list[str]:
  """Names of an archive's members with the suffix, without it, sorted."""
  try:
    with zipfile.ZipFile(path) as archive:
      names = archive.namelist()
  except zipfile.BadZipFile as e:
    raise ValueError(f'{path}: {e}; expected a whole archive.') from e
  # macOS adds members of its own.
  found = [x for x in names if x.endswith(suffix) and '__MACOSX' not in x]
  return sorted(x.removesuffix(suffix) for x in found)


def main(argv: list[str]):
  parser = tfds_source.preparation_parser(
    __name__, 'Prepares sets of flow.', manual_dir='holds the archives'
  )
  parser.add_argument('sets', nargs='+', choices=_BUILDERS)
  args = parser.parse_args(argv)
  for name in args.sets:
    for builder_cls in _BUILDERS[name]:
      tfds_source.prepare(builder_cls, args)
