"""AP equal to the referee's golden; pasting; a perfect detector; pictures."""

import json
import pathlib
import zlib

import grain
import jax
import numpy as np
import PIL.Image
import pytest
from jax.sharding import AxisType

from data.detection import coco, coco_metric
from paca_vit.evaluators import detection, detection_clusters
from train_lib.train_state import TrainState

GOLDEN = pathlib.Path(__file__).parent / 'golden' / 'detection'
PLAN = dict(
  flip_rate=0.5,
  long_side=150,
  short_sides=(96,),
  crop_short_sides=(),
  crop_range=(40, 80),
)


@pytest.mark.parametrize('fast', [False, True])
@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_all_figures_are_the_goldens(kind, fast):
  if fast:
    pytest.importorskip('faster_coco_eval')
  golden = json.loads((GOLDEN / 'coco_metric.json').read_text())
  found = coco_metric.average_precision(
    golden['ground_truth'], golden['detections'], kind, fast
  )
  assert tuple(found) == coco_metric.NAMES
  assert list(found.values()) == golden[f'stats_{kind}']


@pytest.mark.parametrize('fast', [False, True])
def test_nothing_found_is_worth_nothing(fast):
  if fast:
    pytest.importorskip('faster_coco_eval')
  truth = json.loads((GOLDEN / 'coco_metric.json').read_text())['ground_truth']
  found = coco_metric.average_precision(truth, [], 'bbox', fast)
  assert found['ap'] == found['ar100'] == 0


def normal(key, shape):
  rng = np.random.default_rng(zlib.crc32(key.encode()))
  return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize('name, key', [('6', 'det/a'), ('upscaled', 'det/c')])
def test_pasted_masks_are_those_of_mmdetection(name, key):
  with np.load(GOLDEN / f'detections_{name}.npz') as file:
    golden = dict(file)
  labels, shape = golden['labels'], golden['masks_shape']
  num_classes = int(golden['in.num_classes'])
  logits = normal(f'{key}/mp', (len(labels), num_classes, 28, 28))
  logits = np.float32(3) * logits[..., ::4, ::4].repeat(4, -1).repeat(4, -2)
  logits = logits[np.arange(len(labels)), labels].astype(np.float64)
  pasted = coco_metric.paste(
    1 / (1 + np.exp(-logits)),
    golden['boxes_original_scale.f64'],
    tuple(golden['in.original_size']),
  )
  packed = golden['masks_packed']
  expected = np.unpackbits(packed, count=shape.prod()).reshape(shape)
  near = max(2, int(golden['mask_pixels_near_threshold']))
  assert np.count_nonzero(np.stack(pasted) != expected) <= near


class Oracle:
  """A task that finds the pixels brighter than the noise, whatever its state.

  Its batch holds normalised pixels; what it says is in the canvas's pixels.
  """

  def __init__(self, shift=0.0):
    self.shift = shift
    self.answers = {}

  def predict(self, variables, batch):
    outputs = jax.pure_callback(
      lambda image: jax.tree.map(
        lambda *x: np.stack(x), *map(self.answer, np.asarray(image))
      ),
      {
        'boxes': jax.ShapeDtypeStruct((len(batch['image']), 4, 4), 'float32'),
        'scores': jax.ShapeDtypeStruct((len(batch['image']), 4), 'float32'),
        'classes': jax.ShapeDtypeStruct((len(batch['image']), 4), 'int32'),
        'masks': jax.ShapeDtypeStruct(
          (len(batch['image']), 4, 28, 28), 'float32'
        ),
        'valid': jax.ShapeDtypeStruct((len(batch['image']), 4), 'bool'),
      },
      batch['image'],
    )
    return outputs

  def answer(self, image):
    boxes, classes = self.answers[image.tobytes()]
    num = len(boxes)
    padded = np.zeros((4, 4), np.float32)
    padded[:num] = boxes + self.shift
    return {
      'boxes': padded,
      'scores': np.float32([0.9] * 4),
      'classes': np.int32([*classes, *[0] * (4 - num)]),
      'masks': np.ones((4, 28, 28), np.float32),
      'valid': np.arange(4) < num,
    }


def evaluated(tmp_path, shift, fast=False):
  source = coco.synthetic('test', 12)
  options = dict(num_classes=80, plan=PLAN, max_boxes=3)
  task = Oracle(shift)
  examples = []
  for example in source:
    out = coco.preprocess(example, train=False, rng=None, **options)
    examples.append(out)
    info = example['info']
    scale = out['image_size'][::-1] / [info['width'], info['height']]
    boxes = np.float64([x['bbox'] for x in example['annotations']])
    boxes = boxes.reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    ranks = {x['id']: i for i, x in enumerate(example['categories'])}
    task.answers[out['image'].tobytes()] = (
      boxes * np.tile(scale, 2),
      [ranks[x['category_id']] for x in example['annotations']],
    )
  mesh = jax.make_mesh((4,), ('data',), axis_types=(AxisType.Auto,))
  evaluator = detection.DetectionEvaluator(
    task,
    source,
    grain.MapDataset.source(examples),
    mesh,
    tmp_path,
    fast=fast,
    num_images=3,
    min_score=0.5,
  )
  state = TrainState(step=np.int32(7), params={}, model_state={}, opt_state=())
  return source, evaluator.run(state)


def test_who_finds_all_reaches_one_on_any_mesh(tmp_path):
  """Batches of four, two sizes, the last ones padded; boxes are scaled back."""
  source, found = evaluated(tmp_path, shift=0.0)
  assert found['box_ap'] == found['mask_ap'] == pytest.approx(1)
  results = json.loads((tmp_path / '0000007.bbox.json').read_text())
  assert len(results) == sum(len(x['annotations']) for x in source)
  first = next(x for x in source if x['annotations'])
  assert results[0]['image_id'] == first['info']['id']
  assert results[0]['category_id'] == first['annotations'][0]['category_id']
  np.testing.assert_allclose(
    results[0]['bbox'], first['annotations'][0]['bbox'], atol=1e-3
  )
  masks = json.loads((tmp_path / '0000007.segm.json').read_text())
  assert len(masks) == len(results) and 'bbox' not in masks[0]
  pictures = sorted(tmp_path.glob('*.png'))
  assert len(pictures) == 3
  with PIL.Image.open(pictures[0]) as picture:
    assert picture.text['Title'] == detection.TITLE


def test_who_finds_beside_them_reaches_less(tmp_path):
  _, found = evaluated(tmp_path, shift=6.0)
  assert 0 < found['box_ap'] < 0.7


def test_a_drawn_object_colours_its_mask_and_no_more():
  example = next(x for x in coco.synthetic('test') if x['annotations'])
  image = np.full_like(example['image'], 90)
  (annotation, *_) = example['annotations']
  drawn = detection.draw(image, example['categories'], [annotation])
  scale = drawn.shape[1] / image.shape[1]
  x, y, width, height = (round(v * scale) for v in annotation['bbox'])
  changed = np.any(drawn != 90, axis=-1)
  assert changed[y + 2 : y + height - 2, x + 2 : x + width - 2].all()
  outside = changed.copy()
  outside[max(0, y - 20) : y + height + 4, max(0, x - 3) : x + width + 90] = 0
  assert not outside.any()


def test_the_cluster_behind_an_object_is_the_one_that_looks_at_it():
  """Of two stages; the canvas is larger than the image."""
  example = next(x for x in coco.synthetic('test') if x['annotations'])
  annotation = example['annotations'][0] | {'score': 0.9}
  x, y, side, _ = annotation['bbox']
  height, width = example['info']['height'], example['info']['width']
  even = np.ones((3, height + 32, width + 32)) / (height + 32) / (width + 32)
  looking = even.copy()
  looking[1] = 0
  looking[1, y : y + side, x : x + side] = 1 / side**2
  maps = {
    stage: detection_clusters.seen(m, even.shape[1:], height, width)
    for stage, m in (('stage_1', even), ('stage_2', looking))
  }
  assert maps['stage_2'].shape == (3, height, width)
  _, ((weight, area),) = detection_clusters.draw(example, [annotation], maps)
  assert weight == pytest.approx(1)
  assert area == pytest.approx(side**2 / height / width, rel=0.1)
