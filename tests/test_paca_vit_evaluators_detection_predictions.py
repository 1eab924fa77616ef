"""Objects of predict.py are in the picture's own pixels, as COCO has them."""

import json

import numpy as np
import PIL.Image
import pytest
from pycocotools import mask as run_lengths

from configs.paca_vit import finetune_detection
from data.detection import coco
from paca_vit.evaluators import detection_predictions
from train_lib import prediction

CATEGORIES = [{'id': 7, 'name': 'cat'}, {'id': 9, 'name': 'dog'}]


def make_kind(data_dir):
  config = finetune_detection.get_config()
  config.model.num_classes = 2
  config.data.data_dir = str(data_dir)
  return detection_predictions.make_predictions(config, None)


@pytest.fixture
def data_dir(tmp_path):
  (tmp_path / 'annotations').mkdir()
  example = coco.synthetic('val')[1]
  info, annotation = example['info'], example['annotations'][0]
  contents = {
    'images': [info],
    'annotations': [annotation | {'category_id': 9}],
    'categories': CATEGORIES[::-1],  # whose rank is that of their id
  }
  path = tmp_path / 'annotations/val.json'
  path.write_text(json.dumps(contents))
  return tmp_path


def output(size, scale):
  """A dog, and a cat that is hardly seen, on the canvas of a picture."""
  boxes = np.float32([[10, 20, 40, 60], [0, 0, 30, 30], [0, 0, 9, 9]]) * scale
  return {
    'boxes': boxes,
    'scores': np.float32([0.75, 0.3, 0]),
    'classes': np.int32([1, 0, 0]),
    'masks': np.ones((3, 28, 28), np.float32),
    'valid': np.bool_([1, 1, 0]),
    'size': size,
  }


def predicted(kind, folder, name, orientation=1):
  """Of a grey picture, 60 high and 90 wide as it is shown."""
  pixels = np.full((60, 90, 3), 128, np.uint8)
  if orientation == 6:
    pixels = np.rot90(pixels)
  exif = PIL.Image.Exif()
  exif[274] = orientation
  PIL.Image.fromarray(pixels).save(folder / name, exif=exif)
  (path,) = kind.expand(str(folder / name))
  size = kind.example(path)['image_size']
  assert tuple(size) == (800, 1200)
  values, pictures, details = kind.result(path, output(size, 800 / 60))
  return prediction.Prediction(str(path), values, pictures, None, details)


@pytest.mark.parametrize('orientation', [1, 6])
def test_boxes_and_masks_are_of_the_picture_as_it_is_shown(
  data_dir, tmp_path, orientation
):
  found = predicted(make_kind(data_dir), tmp_path, 'a.png', orientation)
  assert found.values == {'found': 1, 'objects': 'dog 0.75 at 10 20 30 40'}
  dog, cat = found.details
  assert (dog['category_id'], cat['category_id']) == (9, 7)
  np.testing.assert_allclose(dog['bbox'], [10, 20, 30, 40], atol=1e-4)
  mask = run_lengths.decode(dog['segmentation'])
  expected = np.zeros((60, 90), bool)
  expected[20:60, 10:40] = True
  # Beyond the middles of the grid's outermost cells it fades.
  assert (mask != expected).sum() <= 2 * (30 + 40)
  assert not (mask & ~expected).any()
  drawn = np.asarray(found[2]['_objects.png'])
  assert drawn.shape[1] / drawn.shape[0] == 1.5
  assert (drawn != 128).any(-1).mean() < 0.5


@pytest.mark.parametrize(
  'names, ids',
  [
    (['000000000139.png', '000000000285.png'], [139, 285]),
    (['7.png', 'b.png'], [1, 2]),
    (['7.png', '007.png'], [1, 2]),
  ],
)
def test_results_are_cocos(data_dir, tmp_path, names, ids):
  """All that was found, by the numbers of COCO's files or in order."""
  kind = make_kind(data_dir)
  files = kind.summary([predicted(kind, tmp_path, name) for name in names])
  boxes, masks = (
    json.loads(files[f'results.{kind}.json']) for kind in ('bbox', 'segm')
  )
  for results, key in ((boxes, 'bbox'), (masks, 'segmentation')):
    assert [x['image_id'] for x in results] == np.repeat(ids, 2).tolist()
    assert [x['file_name'] for x in results] == np.repeat(names, 2).tolist()
    assert {len(x) for x in results} == {5} and all(key in x for x in results)


def test_without_the_annotations_classes_are_numbers(tmp_path, capsys):
  found = predicted(make_kind(tmp_path / 'gone'), tmp_path, 'a.png')
  assert found.values['objects'].startswith('2 0.75')
  assert 'gone' in capsys.readouterr().out
