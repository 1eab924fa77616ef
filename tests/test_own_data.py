"""The commands of docs/own-data.md, run as they stand, with tiny models."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from data.segmentation import image_mask_folder
from tests import odd_images
from tests.test_data_sound_predictions import write_wave
from train_lib import run_files
from train_lib.task import make_task

ROOT = pathlib.Path(__file__).parent.parent
DOC = (ROOT / 'docs' / 'own-data.md').read_text()


def section(title):
  """The commands of a section of the page."""
  text = DOC.split(f'\n## {title}\n')[1].split('\n## ')[0]
  (block,) = re.findall(r'```bash\n(.*?)```', text, re.S)
  return block.strip().splitlines()


def run(command, folder):
  """Returns the finished process of a line `python PROGRAM ...`."""
  python, program, *arguments = shlex.split(command.replace(':demo', ':tiny'))
  assert python == 'python'
  arguments = [x.replace('--config=', f'--config={ROOT}/') for x in arguments]
  return subprocess.run(
    [sys.executable, str(ROOT / program), *arguments],
    cwd=folder,
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
    timeout=1200,
  )


def run_all(title, folder, expected_code=0):
  """Runs a section; returns what its last command printed."""
  train, evaluate, predict = (run(line, folder) for line in section(title))
  assert train.returncode == 0, train.stderr
  assert evaluate.returncode == 0, evaluate.stderr
  assert predict.returncode == expected_code, predict.stderr
  trained = re.findall(r'^step \d+  \w+/.*$', train.stdout, re.MULTILINE)[-1]
  for line in evaluate.stdout.splitlines():
    name, _, value = line.partition(': ')
    if name.endswith(('accuracy', 'mean_iou', 'loss')):
      said = re.search(rf'{name} (\S+)', trained)[1]  # four digits of it
      assert float(said) == pytest.approx(float(value), rel=3e-4)
  return train.stdout, predict


def module(name, folder, *arguments):
  """What `python -m name` prints."""
  return subprocess.run(
    [sys.executable, '-m', name, *arguments],
    cwd=folder,
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    check=True,
    capture_output=True,
    text=True,
  ).stdout


def photo(path, channel, rng):
  pixels = rng.integers(0, 90, (40, 50, 3))
  pixels[..., channel] += 150
  path.parent.mkdir(parents=True, exist_ok=True)
  PIL.Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.mark.full
def test_photographs(tmp_path):
  rng = np.random.default_rng(0)
  for channel, name in enumerate(('red', 'green', 'blue')):
    for i in range(20):
      photo(tmp_path / f'photos/{name}/{i}.png', channel, rng)
    photo(tmp_path / f'new/{name}.png', channel, rng)
  half = odd_images.wrong()['half.jpg'][0]
  (tmp_path / 'new/half.jpg').write_bytes(half)
  said, predicted = run_all('Photographs', tmp_path, expected_code=1)
  assert '3 classes (blue, green, red)' in said
  assert 'new/half.jpg: the file is broken' in predicted.stderr
  rows = (tmp_path / 'predictions.csv').read_text().splitlines()[1:]
  assert [row.split(',')[:2] for row in rows] == [
    [f'new/{name}.png', name] for name in ('blue', 'green', 'red')
  ]
  said = module('tools.simple_baselines', tmp_path, '--workdir=runs/photos')
  assert 'logistic regression, accuracy: 1\n' in said
  folder = ('--folder=photos/red', '--count=9', '--repeats=1')
  said = module(
    'benchmarks.predictions', tmp_path, '--workdir=runs/photos', *folder
  )
  assert re.search(r'9 pictures, .*\npredicting: .*\nevaluating: ', said)


@pytest.mark.full
def test_images_and_masks(tmp_path):
  for split, count in (('train', 24), ('test', 6), ('new', 2)):
    for i, example in enumerate(image_mask_folder.synthetic(split, count)):
      folder = tmp_path / 'scenes' / split
      for kind in ('images', 'masks'):
        (folder / kind).mkdir(parents=True, exist_ok=True)
      image = PIL.Image.fromarray(example['image'])
      image.save(folder / f'images/{i}.jpg', quality=95)
      PIL.Image.fromarray(example['mask']).save(folder / f'masks/{i}.png')
  (tmp_path / 'scenes/classes.txt').write_text('ground\nsquare\n')
  (tmp_path / 'scenes/new/images').rename(tmp_path / 'new')
  said, _ = run_all('Images and masks', tmp_path)
  assert '2 classes (ground, square)' in said
  for i in range(2):
    mask = PIL.Image.open(tmp_path / f'masks/{i}.png')
    assert mask.mode == 'P' and mask.size == (100, 80)
    assert PIL.Image.open(tmp_path / f'masks/{i}_overlay.png').size == mask.size
  lines = (tmp_path / 'masks/predictions.jsonl').read_text().splitlines()
  assert [json.loads(line)['input'] for line in lines] == [
    'new/0.jpg',
    'new/1.jpg',
  ]


@pytest.mark.full
def test_objects(tmp_path):
  """Of one JSON alone; with images that users have and COCO has not."""
  rng = np.random.default_rng(0)
  (tmp_path / 'things/images').mkdir(parents=True)
  (tmp_path / 'new').mkdir()
  images, annotations = [], []
  sizes = [(96, 128), (128, 96), (40, 600), (96, 96)] * 10
  for i, (height, width) in enumerate(sizes):
    pixels = rng.integers(0, 90, (height, width, 3)).astype(np.uint8)
    for j in range(200 if i == 3 else i % 3):  # some without objects
      x, y = int(rng.integers(0, width - 32)), int(rng.integers(0, height - 32))
      pixels[y : y + 32, x : x + 32, j % 2] += 120
      box = [x, y, 32, 32] if i != 4 else [-8, y, 32, 32]
      corners = [x, y, x + 32, y, x + 32, y + 32, x, y + 32]
      annotations.append(
        dict(id=len(annotations), image_id=i, category_id=3 + 4 * (j % 2))
        | dict(bbox=box, area=1024, iscrowd=0, segmentation=[corners])
      )
    image = PIL.Image.fromarray(pixels)
    image.save(tmp_path / f'things/images/{i}.png')
    if i < 2:
      image.save(tmp_path / f'new/{i}.jpg')
    name = {'id': i, 'file_name': f'{i}.png'}
    images.append(name | {'height': height, 'width': width})
  half = (tmp_path / 'things/images/9.png').read_bytes()
  (tmp_path / 'things/images/9.png').write_bytes(half[: len(half) // 2])
  contents = dict(
    images=images,
    annotations=annotations,
    categories=[{'id': 7, 'name': 'dog'}, {'id': 3, 'name': 'cat'}],
  )
  (tmp_path / 'things/instances_default.json').write_text(json.dumps(contents))
  said, _ = run_all('Objects', tmp_path)
  assert '2 classes (cat, dog)' in said
  assert 'things/images/9.png: the file is broken' in said
  assert 'max_boxes=100 objects (3.png: 200)' in said
  assert (tmp_path / 'found/0_objects.png').exists()
  boxes = json.loads((tmp_path / 'found/results.bbox.json').read_text())
  assert {x['category_id'] for x in boxes} <= {3, 7}
  lines = (tmp_path / 'found/predictions.jsonl').read_text().splitlines()
  assert [json.loads(line)['input'] for line in lines] == [
    'new/0.jpg',
    'new/1.jpg',
  ]


@pytest.mark.full
def test_texts(tmp_path):
  rows = [
    f'{word} number {i},{word}' for i in range(40) for word in ('up', 'in')
  ]
  (tmp_path / 'texts.csv').write_text('\n'.join(['text,label', *rows]))
  (tmp_path / 'new.txt').write_text('up number 77\nin number 78\n')
  said, _ = run_all('Texts', tmp_path)
  assert '2 classes (in, up)' in said
  lines = (tmp_path / 'labels.jsonl').read_text().splitlines()
  assert [json.loads(line)['input'] for line in lines] == [
    'up number 77',
    'in number 78',
  ]
  assert {json.loads(line)['label'] for line in lines} <= {'in', 'up'}
  said = module('tools.simple_baselines', tmp_path, '--workdir=runs/texts')
  assert 'logistic regression, accuracy: 1\n' in said


@pytest.mark.full
def test_arrays(tmp_path):
  rng = np.random.default_rng(0)
  y = np.arange(60) % 2
  x = rng.normal(size=(60, 12)) + 3 * y[:, None]
  np.savez(tmp_path / 'measured.npz', x=x, y=np.array(['low', 'high'])[y])
  np.savez(tmp_path / 'new.npz', x=x[:4])
  said, _ = run_all('Arrays', tmp_path)
  assert '2 classes (high, low)' in said
  assert 'x of 12 elements, 1 channels, 1-D coordinates; y: classes' in said
  rows = (tmp_path / 'outputs.csv').read_text().splitlines()[1:]
  assert [row.split(',')[:2] for row in rows] == [
    [f'new[{i}].npz', ('low', 'high')[y[i]]] for i in range(4)
  ]


@pytest.mark.full
def test_sounds(tmp_path):
  rng = np.random.default_rng(0)
  for i, name in enumerate(('low', 'high')):
    for j in range(12):
      times = np.arange(16_000) / 16_000
      tone = np.sin(2 * np.pi * (200 + 1_500 * i + j) * times)
      samples = 8_000 * tone + rng.normal(0, 300, 16_000)
      (tmp_path / 'sounds' / name).mkdir(parents=True, exist_ok=True)
      write_wave(tmp_path / f'sounds/{name}/{j}.wav', samples)
  (tmp_path / 'new').mkdir()
  write_wave(tmp_path / 'new/tone.wav', samples)
  (tmp_path / 'new/half.wav').write_bytes(b'RIFF')
  said, predicted = run_all('Sounds', tmp_path, expected_code=1)
  assert '2 classes (high, low)' in said
  assert 'half.wav' in predicted.stderr
  (row,) = (tmp_path / 'heard.csv').read_text().splitlines()[1:]
  assert row.split(',')[0] == 'new/tone.wav' and 'high' in row


def write_clips(folder):
  """Two classes of moving squares; of each one without sound, and a sound."""
  media_files = pytest.importorskip('tests.media_files')
  for kind in ('down', 'right'):
    (folder / 'clips' / kind).mkdir(parents=True)
    for i in range(10):
      path = folder / f'clips/{kind}/{i}.mp4'
      media_files.write_moving(path, kind, 0.7, sound=i > 0, seed=i)
  (folder / 'new').mkdir()
  media_files.write_moving(folder / 'new/a.mp4', 'down', 0.7)
  media_files.write_moving(folder / 'new/silent.mp4', 'right', sound=False)
  (folder / 'new/half.mp4').write_bytes(b'half')


@pytest.mark.full
def test_clips(tmp_path):
  write_clips(tmp_path)
  said, predicted = run_all('Clips', tmp_path, expected_code=1)
  assert '2 classes (down, right)' in said and 'half.mp4' in predicted.stderr
  rows = (tmp_path / 'seen.csv').read_text().splitlines()[1:]
  assert [row.split(',')[0] for row in rows] == ['new/a.mp4', 'new/silent.mp4']


@pytest.mark.full
def test_clips_with_sound(tmp_path):
  write_clips(tmp_path)
  (tmp_path / 'clips/right/blind.wav').parent.mkdir(exist_ok=True)
  write_wave(tmp_path / 'clips/right/blind.wav', np.full(16_000, 900))
  said, _ = run_all('Clips with sound', tmp_path, expected_code=1)
  assert '2 classes (down, right)' in said
  said = module(
    'tools.simple_baselines', tmp_path, '--workdir=runs/heard_and_seen'
  )
  assert 'logistic regression, map: ' in said
  rows = (tmp_path / 'both.csv').read_text().splitlines()[1:]
  assert [row.split(',')[0] for row in rows] == ['new/a.mp4', 'new/silent.mp4']


@pytest.mark.full
def test_reconstructed_clips(tmp_path):
  write_clips(tmp_path)
  run_all('Reconstructed clips', tmp_path, expected_code=1)
  lines = (tmp_path / 'again/predictions.jsonl').read_text().splitlines()
  both, silent = map(json.loads, lines)
  assert 'sound_psnr' in both and both['video_psnr'] > 3
  assert 'video_psnr' in silent and 'sound_psnr' not in silent
  assert (tmp_path / 'again/silent.mp4').stat().st_size > 500


def test_a_new_kind_of_array_is_a_config():
  code = re.findall(r'```python\n(.*?)```', DOC, re.S)[0]
  assert len(code.splitlines()) <= 40
  module = {}
  exec(code, module)  # Our own page.
  config = module['get_config']()
  assert config.model.encoder.num_latents == 64
  config.data.data_dir, config.data.source = None, 'synthetic'
  config, _ = run_files.derived(config)
  assert make_task(config).model.num_outputs == 3


def test_the_page_names_what_exists():
  for path in set(re.findall(r'(?:configs|tools)/[\w/]+\.py', DOC)):
    assert (ROOT / path).exists(), path
  assert [len(section(x)) for x in ('Photographs', 'Texts', 'Arrays')] == [
    3
  ] * 3
