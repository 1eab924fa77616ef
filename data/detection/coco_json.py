"""Objects in COCO's JSON: found, read, and checked before any work starts.

Anybody's categories; polygons, run lengths (lists or strings) and crowds. Where
files may lie, in this order, for a split S below config.data.data_dir:

  annotations/instances_S.json, annotations/S.json, S/_annotations.coco.json,
  S/annotations.json, S.json        and the images in S/, images/S/ or images/

Of the splits `train` and `validation` the second may be called val, valid, dev
or test. If a folder has one JSON alone, called as it likes, one image in five
is validated on, see `data.splits`.

A dictionary of the file is kept as it is, so that boxes are [x, y, width,
height] here, in pixels of the image as a viewer shows it (EXIF turned).
"""

import concurrent.futures
import json
import pathlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image

from data import image_files, splits
from data.detection import coco_checks
from train_lib import writer

_JSON = (
  'annotations/instances_{}.json',
  'annotations/{}.json',
  '{}/_annotations.coco.json',
  '{}/annotations.json',
  '{}.json',
)
_IMAGES = ('{}', 'images/{}', 'images')
_OFFICIAL = re.compile(r'(train|val|test)20\d\d')  # checked by its publishers
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # of EXIF


def read(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """The images of a split, in the order of the file.

  Returns:
    An element an image: `image` (path), `info` (id, file_name, height, width,
    as in the file), `annotations` (dictionaries of the file), `categories`
    (those of the file, by ascending id; the same list everywhere), `classes`
    (their names). Images that cannot be decoded are left out, named and
    counted; of COCO's own splits only the headers are read.

  Raises:
    FileNotFoundError: naming what is not there.
    ValueError: naming the file and the first entry that is wrong.
  """
  root, path, name = _find(split, data_dir)
  contents = load(path)
  if name is None:
    name = split
    _keep(contents, lambda x: splits.by_hash(x['file_name']) == split)
    if not contents['images']:
      raise ValueError(f'{path}: too few images for a split {split!r}.')
  folders = [root / pattern.format(name) for pattern in _IMAGES]
  images = _find_images(contents['images'], [*folders, root], path)
  if not _OFFICIAL.fullmatch(split):
    chosen = set(image_files.readable(list(images.values())))
    _keep(contents, lambda x: images[x['file_name']] in chosen)
  _check_sizes(contents['images'], images, path)
  annotations = defaultdict(list)
  for annotation in contents['annotations']:
    annotations[annotation['image_id']].append(annotation)
  _report(contents, path)
  shared = {
    'categories': contents['categories'],
    'classes': tuple(x['name'] for x in contents['categories']),
  }
  return [
    {
      'image': images[info['file_name']],
      'info': info,
      'annotations': annotations[info['id']],
      **shared,
    }
    for info in contents['images']
  ]


def categories(split: str, data_dir: str | None) -> list[dict[str, Any]]:
  """The categories of a split's file, by ascending id; raises as `read`."""
  return load(_find(split, data_dir)[1])['categories']


def load(path: pathlib.Path) -> dict[str, Any]:
  """Reads and checks a file; categories by ascending id.

  Raises:
    ValueError: naming the file and the first entry that is wrong.
  """
  try:
    contents = json.loads(path.read_text())
  except ValueError as e:
    raise ValueError(f'{path}: expected JSON; {e}.') from e
  coco_checks.check(contents, str(path))
  contents['categories'].sort(key=lambda x: x['id'])
  return contents


def has_outline(annotation: dict[str, Any]) -> bool:
  """Whether there are run lengths or a polygon of three points or more."""
  segmentation = annotation.get('segmentation')
  return isinstance(segmentation, dict) or bool(polygons(annotation))


def polygons(annotation: dict[str, Any]) -> list[list[float]]:
  """Those with an even number of coordinates, at least six."""
  return [
    polygon
    for polygon in annotation.get('segmentation') or ()
    if len(polygon) >= 6 and len(polygon) % 2 == 0
  ]


def is_trained_on(annotation: dict[str, Any], info: dict[str, Any]) -> bool:
  """mmdetection's rule: not a crowd; of some area, in the image, outlined."""
  x, y, width, height = annotation['bbox']
  inside_width = max(0, min(x + width, info['width']) - max(x, 0))
  inside_height = max(0, min(y + height, info['height']) - max(y, 0))
  return (
    not annotation.get('ignore')
    and not annotation.get('iscrowd')
    and inside_width * inside_height > 0
    and annotation.get('area', width * height) > 0
    and min(width, height) >= 1
    and has_outline(annotation)
  )


def open_image(example: dict[str, Any]) -> np.ndarray:
  """uint8 [H, W, 3], as `image_files.read_image` has it.

  Raises:
    ValueError: naming the image, if it has not the size that the JSON says.
  """
  image, info = example['image'], example['info']
  if not isinstance(image, np.ndarray):
    image = np.asarray(image_files.read_image(image))
  if image.shape[:2] != (info['height'], info['width']):
    raise ValueError(
      f'{info["file_name"]}: the image has height x width {image.shape[0]} x '
      f'{image.shape[1]}, the JSON {info["height"]} x {info["width"]}.'
    )
  return image


def _find(split, data_dir):
  """The folder, a split's file, and the split's name there; None: the file is
  all that there is."""
  if data_dir is None:
    raise ValueError(
      'config.data.data_dir: expected a folder with annotations and images in '
      "COCO's layout, found None."
    )
  root = pathlib.Path(data_dir).expanduser()
  if split in ('train', 'validation'):
    alone = [*root.glob('*.json'), *root.glob('*/*.json')]
    if len(alone) == 1:
      return root, alone[0], None
  for name in splits.names(split):
    for pattern in _JSON:
      if (path := root / pattern.format(name)).is_file():
        return root, path, name
  names = ', '.join(pattern.format(split) for pattern in _JSON)
  raise FileNotFoundError(f'{root}: expected one of {names}; found none.')


def _keep(contents, is_kept):
  """Leaves in a file's contents only some images, and what is on them."""
  kept = [x for x in contents['images'] if is_kept(x)]
  ids = {x['id'] for x in kept}
  contents['images'] = kept
  contents['annotations'] = [
    x for x in contents['annotations'] if x['image_id'] in ids
  ]


def _find_images(infos, folders, path):
  """{file name: path} of the first folder that has it."""
  folders = [*(f for f in folders if f.is_dir()), path.parent]
  names = [x['file_name'] for x in infos]
  # One listing a folder instead of a question a file.
  listed = {folder: {x.name for x in folder.iterdir()} for folder in folders}
  found, missing = {}, []
  for name in names:
    for folder in folders:
      if name in listed[folder] or ('/' in name and (folder / name).is_file()):
        found[name] = folder / name
        break
    else:
      missing.append(name)
  if missing:
    raise FileNotFoundError(
      f'{path}: {len(missing)} of {len(names)} images are not in '
      f'{" or ".join(map(str, folders))}; the first is {missing[0]}.'
    )
  return found


def _check_sizes(infos, images, path):
  """Opens every file's header, whose size must be the JSON's."""

  def size(name):
    try:
      with PIL.Image.open(images[name]) as file:
        turned = file.getexif().get(_ORIENTATION) in _TURNED
        return file.size if turned else file.size[::-1]
    except OSError as e:
      return e

  with concurrent.futures.ThreadPoolExecutor(16) as pool:
    sizes = pool.map(size, (x['file_name'] for x in infos), chunksize=64)
    for info, found in zip(infos, sizes, strict=True):
      expected = (info['height'], info['width'])
      if isinstance(found, OSError):
        raise ValueError(f'{images[info["file_name"]]}: no image; {found}.')
      if found != expected:
        raise ValueError(
          f'{images[info["file_name"]]}: the image has height x width '
          f'{found[0]} x {found[1]}, {path} says {expected[0]} x {expected[1]}.'
        )


def _report(contents, path):
  """Says what no training uses, and raises if nothing is left."""
  infos = {x['id']: x for x in contents['images']}
  counts = Counter()
  for x in contents['annotations']:
    if is_trained_on(x, infos[x['image_id']]):
      counts['used'] += 1
    elif x.get('iscrowd'):
      counts['crowds'] += 1
    elif not has_outline(x):
      counts['without an outline of 3 points'] += 1
    else:
      counts['without area or outside of the image'] += 1
  used = counts.pop('used', 0)
  if counts:
    rest = ', '.join(f'{count} {what}' for what, count in counts.items())
    writer.say(f'{path}: {used} objects; not trained on: {rest}.')
