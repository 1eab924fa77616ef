"""Every task that the page shows: as predict.py has it, and what is beside."""

import base64
import importlib
import io
import json
import wave

import jax
import numpy as np
import PIL.Image
import pytest

import predict
from perceiver_io.evaluators import attention_maps
from tests import odd_images
from tests.playground_servers import as_text, make_run, small_config
from tools.playground import parts
from tools.playground.inputs import Refused
from tools.playground.runs import Run
from train_lib import prediction, run_files, sharding, trained

pytestmark = pytest.mark.full

FIRST = np.kron(odd_images.COLOURS, np.ones((4, 4, 1), np.uint8))
SECOND = np.roll(FIRST, 2, axis=1)
BODIES = {
  'picture': {'picture': as_text(odd_images.encode(FIRST, 'PNG'))},
  'pair': {
    'first': as_text(odd_images.encode(FIRST, 'PNG')),
    'second': as_text(odd_images.encode(SECOND, 'PNG')),
  },
  'text': {'text': 'One text.', 'text2': 'Another one.'},
  'blanks': {'text': 'a [MASK] b'},
}


@pytest.fixture(scope='module')
def opened(tmp_path_factory):
  """Name of a config -> its run, made when it is first asked for."""
  made = {}

  def open_run(name):
    if name not in made:
      module, _, variant = name.partition(':')
      config = importlib.import_module(f'configs.{module}').get_config(variant)
      made[name] = make_run(tmp_path_factory.mktemp('runs') / 'run', config)
    return made[name]

  return open_run


def workdir_of(run):
  return run._predictor._workdir


def predicted(run, given, **options):
  (found,) = predict.load(workdir_of(run), **options)([given])
  assert not found.error
  return found


def picture_of(url):
  held = base64.b64decode(url.partition(',')[2])
  return np.asarray(PIL.Image.open(io.BytesIO(held)))


def checked(answer):
  """As the page gets it: JSON, without what is not finite."""
  return json.loads(json.dumps(answer, allow_nan=False))


def test_masks_are_predicts_and_clusters_stand_beside(opened):
  run = opened('paca_vit.finetune_segmentation:tiny')
  answer = checked(run.answer(BODIES['picture']))
  found = predicted(run, FIRST)
  assert answer['values'] == pytest.approx(found.values, abs=1e-5)
  (picture,) = answer['pictures']
  overlay = np.asarray(found.files['_overlay.png'])
  np.testing.assert_array_equal(picture_of(picture['url']), overlay)
  assert answer['layers'] and 'relevance' not in answer['layers'][0]
  with pytest.raises(Refused, match="'off'"):
    run.answer(BODIES['picture'] | {'off': {}})


@pytest.mark.parametrize(
  'name, suffix',
  [('paca_vit.depth:demo', '_near.png'), ('paca_vit.objects:tiny', '_obj')],
)
def test_pictures_are_what_predict_draws(opened, name, suffix):
  run = opened(name)
  answer = checked(run.answer(BODIES['picture']))
  found = predicted(run, FIRST)
  (drawn,) = [x for k, x in found.files.items() if k.startswith(suffix)]
  drawn = np.asarray(drawn.convert('RGB'), int)
  shown = picture_of(answer['pictures'][0]['url']).astype(int)
  assert shown.shape == drawn.shape
  assert np.abs(shown - drawn).mean() < 2


def test_clusters_of_blocks_in_a_loop_are_switched_off(tmp_path):
  """As those of the same weights in blocks one after the other."""
  config = small_config()
  config.model.scan_layers = True
  looped = make_run(tmp_path / 'run', config)
  config.model.scan_layers = False
  unrolled = Run(workdir_of(looped), config)
  body = BODIES['picture'] | {'off': {'stage_1': [4], 'stage_2': [1, 2]}}
  found, expected, whole = (
    np.array(run.answer(given)['probabilities'])
    for run, given in (
      (looped, body),
      (unrolled, body),
      (unrolled, BODIES['picture']),
    )
  )
  np.testing.assert_allclose(found, expected, atol=2e-5)
  assert np.abs(found - whole).max() > 1e-3
  layers = (
    run.answer(BODIES['picture'])['layers'] for run in (looped, unrolled)
  )
  for one, other in zip(*layers, strict=True):
    assert one['name'] == other['name'] and one['shape'] == other['shape']
    assert one['relevance'] == pytest.approx(other['relevance'], abs=2e-5)


def test_latents_weights_are_the_encoders(opened):
  run = opened('perceiver_io.mnist5k:tiny')
  answer = checked(run.answer(BODIES['picture']))
  together, few = answer['layers']
  assert together['shape'] == [1, 28, 28] and few['shape'][1:] == [28, 28]

  workdir = workdir_of(run)
  config = run_files.read_config(workdir)
  kind = prediction.make_kind(config, workdir, {})
  example = kind.example(base64.b64decode(BODIES['picture']['picture']))
  mesh = sharding.make_mesh(config.mesh)
  batch = {'image': np.repeat(example['image'][None], mesh.size, 0)}
  task, state = trained.load(config, workdir, mesh, batch)
  variables = jax.device_get(state.eval_variables)
  weights = attention_maps.latent_weights(
    task.predict, variables, {'image': batch['image'][:1]}
  )[0].mean(axis=0)
  order = np.argsort(attention_maps.inputs_read(np.asarray(weights)))
  assert few['numbers'] == order[: len(few['numbers'])].tolist()
  shares = np.frombuffer(base64.b64decode(few['data']), np.uint8) / 255
  shown = shares.reshape(few['shape']) * np.array(few['largest'])[:, None, None]
  expected = np.asarray(weights)[few['numbers']].reshape(few['shape'])
  np.testing.assert_allclose(shown, expected, atol=0.005 * expected.max())


def test_vectors_are_the_flow(opened):
  run = opened('perceiver_io.optical_flow:tiny')
  answer = checked(run.answer(BODIES['pair']))
  flo = predicted(run, (FIRST, SECOND)).files['.flo']
  flow = np.frombuffer(flo, '<f4', offset=12).reshape(*FIRST.shape[:2], 2)
  vectors = answer['vectors']
  steps = np.frombuffer(base64.b64decode(vectors['data']), '<i2')
  shown = steps.reshape(flow.shape) * vectors['unit']
  np.testing.assert_allclose(shown, flow, atol=vectors['unit'])
  with pytest.raises(Refused, match='two images of one size'):
    small = as_text(odd_images.encode(FIRST[:40], 'PNG'))
    run.answer(BODIES['pair'] | {'second': small})


def test_blanks_are_filled_as_predict_does(opened):
  run = opened('perceiver_io.masked_language_modelling:tiny')
  answer = checked(run.answer(BODIES['blanks']))
  values = predicted(run, BODIES['blanks']['text']).values
  assert [x['text'] for x in answer['filled']] == [
    values[name] for name in ('text', 'text_2', 'text_3')
  ]
  assert answer['filled'][0]['probability'] == pytest.approx(
    values['probability'], rel=1e-3
  )
  assert ''.join(answer['tokens']) == 'a ▢ b'  # the shortest word: one byte
  together, few = answer['layers']
  assert together['shape'] == [1, 1, 5] and few['shape'][1:] == [1, 5]
  shares = np.frombuffer(base64.b64decode(together['data']), np.uint8) / 255
  assert (shares * together['largest'][0]).sum() == pytest.approx(1, abs=0.02)
  answer = run.answer(BODIES['blanks'] | {'by': 'tokens'})
  values = predicted(run, BODIES['blanks']['text'], by='tokens').values
  assert answer['values'] == values
  for body, text in (
    ({'text': 'no blank'}, 'found no'),
    ({'text': 'a' * 100 + '[MASK]'}, 'expected at most 64'),
    ({'text': '[MASK]', 'by': 'letters'}, 'by: expected'),
    ({}, 'found no'),
  ):
    with pytest.raises(Refused, match=text):
      run.answer(body)


def test_classes_of_a_text_or_two(opened):
  run = opened('perceiver_io.finetune_text:tiny')
  both = BODIES['text']
  for body, given in (
    (both, list(both.values())),
    (both | {'text2': ''}, both['text']),
  ):
    answer = checked(run.answer(body))
    values = predicted(run, given).values
    assert max(answer['probabilities']) == pytest.approx(
      values['probability'], abs=2e-5
    )
  assert run.about()['classes'] == ['art', 'music', 'sport']
  assert run.example(4)['texts']
  with pytest.raises(Refused, match='not empty'):
    run.answer({'text': ' '})


def test_sounds_are_heard(opened, tmp_path):
  run = opened('perceiver_io.finetune_sounds:tiny')
  path = tmp_path / 'a.wav'
  noise = np.random.default_rng(0).integers(-9_000, 9_000, 48_000)
  with wave.open(str(path), 'wb') as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(16_000)
    file.writeframes(noise.astype('<i2').tobytes())
  answer = checked(run.answer({'file': as_text(path.read_bytes())}))
  values = predicted(run, path).values
  assert max(answer['probabilities']) == pytest.approx(
    values['probability'], abs=2e-5
  )


def test_a_film_is_shown_beside_its_reconstruction(opened, tmp_path):
  from data.video import media

  run = opened('perceiver_io.kinetics:tiny')
  path = tmp_path / 'a.mp4'
  rng = np.random.default_rng(0)
  media.write_video(
    str(path),
    rng.integers(0, 256, (75, 64, 64, 3), np.uint8),
    fps=25,
    audio=rng.integers(-9_000, 9_000, 3 * 48_000).astype(np.int16),
    rate=48_000,
  )
  answer = checked(run.answer({'file': as_text(path.read_bytes())}))
  assert answer['film'].startswith('data:video/mp4;base64,')
  values = predicted(run, path).values
  assert answer['values']['video_psnr'] == values['video_psnr']
  assert picture_of(answer['pictures'][0]['url']).ndim == 3


def test_a_grid_is_found_or_none_is_shown():
  weights = np.random.default_rng(0).uniform(size=(3, 48))
  assert parts.on_grid(weights, (6, 8, 1)).shape == (3, 6, 8)
  assert parts.on_grid(weights, (24, 32, 3)).shape == (3, 6, 8)
  assert parts.on_grid(weights, (5, 10, 3)) is None
