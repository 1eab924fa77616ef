"""Depth of users' pictures is the evaluation's, in metres and millimetres."""

import io

import numpy as np
import PIL.Image
import pytest

import predict
import train
from configs.paca_vit import depth as config_file
from data.depth import motorcycle
from paca_vit.evaluators import depth_predictions
from train_lib import run_files


def test_files_of_a_picture():
  kind = depth_predictions.Depths(0.5)
  pixels = np.zeros((40, 60, 3), np.uint8)
  assert kind.example(pixels)['image'].shape == (20, 30, 3)
  depth = np.full((20, 30), 2.5, np.float32)
  depth[:, :15] = 100.0  # beyond what 16 bits of millimetres hold
  values, files = kind.result(pixels, depth)
  assert (values['nearest'], values['furthest']) == (2.5, 100.0)
  assert files['.npy'].shape == (40, 60) and files['.npy'][0, -1] == 2.5
  file = io.BytesIO()
  files['.png'].save(file, 'png')
  stored = np.asarray(PIL.Image.open(file))
  assert stored[0, -1] == 2500 and stored[0, 0] == 2**16 - 1
  near = np.asarray(files['_near.png'])
  assert near.shape == (40, 60) and near[0, -1] == 255 and near[0, 0] == 0


def test_a_model_that_was_told_rows_is_told_them_again():
  kind = depth_predictions.make_predictions(config_file.get_config(), None)
  image = kind.example(np.zeros((40, 60, 3), np.uint8))['image']
  assert image.shape == (40, 60, 4)
  np.testing.assert_allclose(image[:, 7, 3], np.linspace(-1, 1, 40), atol=1e-6)


def test_scales_that_are_wrong():
  with pytest.raises(ValueError, match='scale: expected a number above 0'):
    depth_predictions.make_predictions(None, None, scale=-1.0)


@pytest.mark.full
def test_of_a_run(tmp_path):
  config = config_file.get_config('demo')
  config.model.channels, config.model.depths = (8, 12), (1, 1)
  config.model.decode_head.channels = 8
  config.num_steps, config.data.batch_size = 2, 8
  config.data.source = 'synthetic'
  config.optim.schedule.warmup_steps = 1
  config.evals = {}
  config.checkpoint.best_metric = ''
  run_files.write(str(tmp_path), config, None, None)
  train.train_and_evaluate(config, str(tmp_path))
  pixels = motorcycle.synthetic('test', 1)[0]['image']
  (found,) = predict.load(str(tmp_path))([pixels])
  assert found.error is None
  assert found.files['.npy'].shape == pixels.shape[:2]
  assert 0 < found.values['nearest'] <= found.values['median']
