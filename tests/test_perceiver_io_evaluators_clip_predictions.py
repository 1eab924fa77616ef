"""Reconstructions of users' films: what is compared, and what is written."""

import numpy as np
import pytest

from configs.perceiver_io import kinetics as config_file
from data.video import jpegs, kinetics
from perceiver_io.evaluators import clip_predictions


def test_a_film_and_its_reconstruction(tmp_path):
  media = pytest.importorskip('data.video.media')
  config = config_file.get_config('demo')
  kind = clip_predictions.make_predictions(config, None)
  raw = kinetics.synthetic('test', 1)[0]
  frames = np.stack(
    [jpegs.decode(x, kinetics.IMAGE_SIZE) for x in raw['video']]
  )
  path = str(tmp_path / 'a.mp4')
  media.write_video(
    path, frames, fps=kinetics.FPS, audio=raw['audio'], rate=kinetics.RATE
  )
  assert [str(x) for x in kind.expand(str(tmp_path))] == [path]
  example = kind.example(path)
  options = dict(config.data.preprocess)
  expected = kinetics.preprocess(raw, train=False, rng=None, **options)
  assert example['image'].shape == expected['image'].shape
  assert abs(example['image'] - expected['image']).mean() < 0.03

  class Off:
    """Says what it reads, a tenth too bright."""

    def predict(self, variables, batch):
      image, audio = batch['image'] + 0.1, batch['audio'][..., 0] + 0.01
      label = np.float32([[0, 2, 1]])
      return {'image': image, 'audio': audio, 'label': label}

  batch = {name: x[None] for name, x in example.items()}
  output = kind.outputs(Off(), {}, batch)
  output = {
    'new': {k: x[0] for k, x in output['new'].items()},
    'image': output['image'][0],
    'audio': output['audio'][0],
  }
  values, files = kind.result(path, output)
  assert values['video_psnr'] == pytest.approx(20, abs=1e-3)
  assert values['sound_psnr'] == pytest.approx(40, abs=1e-2)
  assert values['label'] == 1
  files['.mp4'](str(tmp_path / 'new.mp4'))
  side = config.data.preprocess.image_size
  shown = media.read_video(
    str(tmp_path / 'new.mp4'), fps=kinetics.FPS, size=side
  )
  assert len(shown) == len(example['image'])
  assert files['.png'].size[0] > side


def test_a_film_without_sound_is_seen(tmp_path):
  media_files = pytest.importorskip('tests.media_files')
  kind = clip_predictions.make_predictions(config_file.get_config('demo'), None)
  media_files.write_silent(tmp_path / 'silent.mp4')
  example = kind.example(tmp_path / 'silent.mp4')
  assert (example['has_image'], example['has_audio']) == (1, 0)
  (tmp_path / 'none.mp4').write_bytes(b'no film')
  with pytest.raises(ValueError, match=r'none\.mp4'):
    kind.example(tmp_path / 'none.mp4')
