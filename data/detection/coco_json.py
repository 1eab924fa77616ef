"""Objects in COCO's JSON: found, read, and checked before any work starts.

Anybody's categories; polygons, run lengths (lists or strings) and crowds. Where
files may lie, in this order, for a split S below config.data.data_dir:

  annotations/instances_S.json, annotations/S.json, S/_annotations.coco.json,
  S/annotations.json, S.json        and the images in S/, images/S/ or images/

A dictionary of the file is kept as it is, so that boxes are [x, y, width,
height] here, in pixels of the image as a viewer shows it (EXIF turned).
"""

import concurrent.futures
import json
import math
import pathlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps

from train_lib import writer

_JSON = (
  'annotations/instances_{}.json',
  'annotations/{}.json',
  '{}/_annotations.coco.json',
  '{}/annotations.json',
  '{}.json',
)
_IMAGES = ('{}', 'images/{}', 'images')
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # of EXIF


def read(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """The images of a split, in the order of the file.

  Returns:
    An element an image: `image` (path), `info` (id, file_name, height, width,
    as in the file), `annotations` (dictionaries of the file), `categories`
    (those of the file, by ascending id; the same list everywhere).

  Raises:
    FileNotFoundError: naming what is not there.
    ValueError: naming the file and the first entry that is wrong.
  """
  root, path = _find(split, data_dir)
  contents = load(path)
  folders = [root / name.format(split) for name in _IMAGES]
  images, names = _find_images(contents['images'], folders, path)
  _check_sizes(contents['images'], images, path)
  annotations = defaultdict(list)
  for annotation in contents['annotations']:
    annotations[annotation['image_id']].append(annotation)
  _report(contents, path)
  return [
    {
      'image': images[name],
      'info': info,
      'annotations': annotations[info['id']],
      'categories': contents['categories'],
    }
    for info, name in zip(contents['images'], names, strict=True)
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
  check(contents, str(path))
  contents['categories'].sort(key=lambda x: x['id'])
  return contents


def check(contents: Any, name: str) -> None:
  """Raises ValueError, naming the first entry that is not as COCO's are."""
  for key in ('images', 'annotations', 'categories'):
    values = contents.get(key) if isinstance(contents, dict) else None
    if not isinstance(values, list) or not all(
      isinstance(x, dict) for x in values
    ):
      raise ValueError(f'{name}: expected a list {key!r} of objects, as COCO.')
    if not values and key != 'annotations':
      raise ValueError(f'{name}: {key} is empty; expected at least one.')
    if key != 'annotations':
      _check_ids(values, f'{name}: {key}')
  for x in contents['categories']:
    _check_fields(x, {'name': str}, f'{name}: category {x["id"]}')
  sizes = {}
  for x in contents['images']:
    where = f'{name}: image {x["id"]}'
    _check_fields(x, {'file_name': str, 'height': int, 'width': int}, where)
    if min(x['height'], x['width']) < 1:
      raise ValueError(
        f'{where}: height and width are {x["height"]} and {x["width"]}; '
        'expected pixels, 1 or more.'
      )
    sizes[x['id']] = (x['height'], x['width'])
  categories = {x['id'] for x in contents['categories']}
  for i, x in enumerate(contents['annotations']):
    where = f'{name}: annotation {x.get("id", f"number {i}")}'
    for key, known in (('image_id', sizes), ('category_id', categories)):
      if not isinstance(x.get(key), int) or x[key] not in known:
        raise ValueError(f'{where}: {key} {x.get(key)!r} is not in the file.')
    _check_annotation(x, sizes[x['image_id']], where)


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
  """uint8 [H, W, 3], turned as its EXIF says (as OpenCV does).

  Raises:
    ValueError: naming the image, if it has not the size that the JSON says.
  """
  image, info = example['image'], example['info']
  if not isinstance(image, np.ndarray):
    with PIL.Image.open(image) as file:
      image = np.asarray(PIL.ImageOps.exif_transpose(file).convert('RGB'))
  if image.shape[:2] != (info['height'], info['width']):
    raise ValueError(
      f'{info["file_name"]}: the image has height x width {image.shape[0]} x '
      f'{image.shape[1]}, the JSON {info["height"]} x {info["width"]}.'
    )
  return image


def _find(split, data_dir):
  """The folder and the file of a split."""
  if data_dir is None:
    raise ValueError(
      'config.data.data_dir: expected a folder with annotations and images in '
      "COCO's layout, found None."
    )
  root = pathlib.Path(data_dir).expanduser()
  for pattern in _JSON:
    if (path := root / pattern.format(split)).is_file():
      return root, path
  names = ', '.join(pattern.format(split) for pattern in _JSON)
  raise FileNotFoundError(f'{root}: expected one of {names}; found none.')


def _find_images(infos, folders, path):
  """{file name: path} of the first folder that has it, and the names."""
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
  return found, names


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


def _check_ids(values, where):
  seen = set()
  for x in values:
    if not isinstance(x.get('id'), int) or x['id'] in seen:
      raise ValueError(
        f'{where}: expected an integer id of its own for each; found '
        f'{x.get("id")!r}{" twice" if isinstance(x.get("id"), int) else ""}.'
      )
    seen.add(x['id'])


def _check_fields(x, fields, where):
  for key, kind in fields.items():
    if not isinstance(x.get(key), kind):
      raise ValueError(
        f'{where}: {key} is {x.get(key)!r}; expected {kind.__name__}.'
      )


def _check_annotation(x, size, where):
  if not _are_numbers(x.get('bbox'), 4):
    raise ValueError(
      f'{where}: bbox is {x.get("bbox")!r}; expected [x, y, width, height].'
    )
  if not _are_numbers([x.get('area', 0)]):
    raise ValueError(f'{where}: area is {x["area"]!r}; expected pixels.')
  outline = x.get('segmentation')
  if isinstance(outline, dict):
    counts = outline.get('counts')
    if outline.get('size') != list(size) or not (
      isinstance(counts, str) or _are_numbers(counts)
    ):
      raise ValueError(
        f'{where}: expected run lengths with counts and size {list(size)}, '
        f'the height and width of the image; found size {outline.get("size")}.'
      )
    if isinstance(counts, list) and sum(counts) != size[0] * size[1]:
      raise ValueError(
        f'{where}: the run lengths add up to {sum(counts)} pixels; the image '
        f'has {size[0] * size[1]}.'
      )
  elif outline is not None and not (
    isinstance(outline, list) and all(_are_numbers(p) for p in outline)
  ):
    raise ValueError(
      f'{where}: segmentation is neither run lengths nor a list of polygons '
      '[x, y, x, y, ...].'
    )


def _are_numbers(values, length=None):
  return (
    isinstance(values, list)
    and length in (None, len(values))
    and all(isinstance(v, int | float) and math.isfinite(v) for v in values)
  )
