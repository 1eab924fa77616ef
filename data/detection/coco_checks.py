"""What a JSON must have to be one of COCO's objects."""

import math
from typing import Any


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
