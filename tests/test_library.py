"""The models as docs/library.md shows them: its blocks are run, one by one."""

import json
import pathlib
import pickle
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import paca_vit
import perceiver_io
from paca_vit import variants as paca_variants
from perceiver_io import models, names, variants
from perceiver_paca.weights import files, torch_files
from tests import golden_paca, perceiver_goldens

PAGE = pathlib.Path(__file__).parent.parent / 'docs' / 'library.md'
TINY = 'tiny_p2cconv_100_0'
# As small as Hugging Face's configuration can say it.
SIZES = dict(
  vocab_size=262,
  max_length=16,
  token_channels=24,
  num_latents=8,
  latent_channels=40,
  qk_channels=256,
  num_heads=8,
  num_self_attends=2,
)
CONFIG = dict(
  architectures=['PerceiverForMaskedLM'],
  model_type='perceiver',
  max_position_embeddings=16,
  d_model=24,
  num_latents=8,
  d_latents=40,
  num_self_attends_per_block=2,
  qk_channels=256,
  v_channels=40,
)


def random_variables(model, *args):
  return golden_paca.random_variables(
    jax.eval_shape(model.init, jax.random.key(0), *args)
  )


@pytest.fixture(scope='module')
def published(tmp_path_factory):
  """A folder with the files that the page speaks of."""
  folder = tmp_path_factory.mktemp('published')
  spec = golden_paca.FOLDER / 'state_specs' / f'{TINY}.json'
  tensors = json.loads(spec.read_text())['tensors']
  torch_files.save(
    str(folder / 'file.pth'),
    golden_paca.state_dict({name: shape for name, shape, _ in tensors}),
  )
  model = models.masked_language_modelling(**SIZES)
  variables = random_variables(model, jnp.zeros((1, 4), jnp.int32))
  files.save_safetensors(
    str(folder / 'model.safetensors'), names.to_hugging_face(variables)
  )
  (folder / 'config.json').write_text(json.dumps(CONFIG))
  return folder, model, variables


@pytest.mark.full
def test_the_page(published, monkeypatch):
  folder, language_model, language_variables = published
  monkeypatch.chdir(folder)
  blocks = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL)
  new, paca, language, block, sizes = blocks
  scope = {}
  exec(new, scope)
  assert scope['clusters'].shape == (1, 100, 16 * 16)
  np.testing.assert_allclose(scope['clusters'].sum(-1), 1, rtol=1e-5)
  assert np.std(scope['logits']) > 0

  exec(paca, scope)
  apply = golden_paca.jit(
    lambda *args: scope['model'].apply(*args, train=False)
  )
  found = apply(scope['variables'], golden_paca.images(2, 64, 64))
  expected = golden_paca.load(f'{TINY}_64x64')['logits_f64']
  np.testing.assert_allclose(found, expected, rtol=0, atol=3e-5)

  exec(language, scope)
  apply = jax.jit(language_model.apply)
  expected = apply(language_variables, scope['ids'])
  np.testing.assert_allclose(scope['logits'], expected, rtol=0, atol=1e-5)

  exec(block, scope)
  tokens = jax.random.normal(jax.random.key(0), (2, 1 + 14 * 14, 48))
  module = scope['Block']()
  outputs, variables = jax.jit(module.init_with_output)(
    jax.random.key(1), tokens
  )
  assert outputs.shape == tokens.shape
  attention = variables['params']['PacaSelfAttention_0']
  assert attention['clustering']['to_clusters']['kernel'].shape == (48, 49)

  exec(sizes, scope)
  head = jax.eval_shape(
    lambda x: scope['model'].init(jax.random.key(0), x, train=False),
    jax.ShapeDtypeStruct((1, 32, 32, 3), 'float32'),
  )['params']['head']['kernel']
  assert head.shape == (384, 10)


def test_haikus_weights_give_the_golden_outputs(tmp_path, monkeypatch):
  """Of a small model, whose sizes stand among the published ones here."""
  arrays, described = perceiver_goldens.load('mlm')
  sizes = described['config']
  encoder = sizes['encoder']
  small = dict(
    vocab_size=sizes['vocab_size'],
    max_length=sizes['max_seq_len'],
    token_channels=sizes['d_model'],
    num_latents=encoder['z_index_dim'],
    latent_channels=encoder['num_z_channels'],
    qk_channels=encoder['qk_channels'],
    num_heads=encoder['num_self_attend_heads'],
    num_self_attends=encoder['num_self_attends_per_block'],
  )
  monkeypatch.setitem(variants.VARIANTS, 'mlm:small', small)
  path = tmp_path / 'haiku.pickle'
  files.save_haiku(
    str(path), perceiver_goldens.weights(described['params']), {}
  )
  model, variables = perceiver_io.load('mlm:small', path)
  found = jax.jit(model.apply)(variables, jnp.asarray(arrays['in.inputs']))
  np.testing.assert_allclose(
    found, arrays['out_no_mask.f32'], rtol=0, atol=2e-5
  )


@pytest.mark.full
def test_new_parameters_of_perceivers():
  model, variables = perceiver_io.load('audioset:raw_audio')
  assert isinstance(jax.tree.leaves(variables)[0], jax.Array)
  latents = np.asarray(variables['params']['encoder']['latents'])
  assert latents.shape == (512, 512) and 0.01 < latents.std() < 0.03


# Every field that differs from what the class gives must be refused or read.
@pytest.mark.parametrize(
  'field, value, message',
  [
    ('qk_channels', 128, 'qk_channels: found 128; expected 256'),
    ('num_self_attention_heads', 4, 'num_self_attention_heads: found 4'),
    ('num_blocks', 2, 'num_blocks: found 2; expected 1'),
    ('architectures', ['PerceiverForOpticalFlow'], 'architectures: found'),
    ('model_type', 'bert', "model_type: found 'bert'"),
    ('d_model', 32, r'model.safetensors, as mlm:base_bytes: \d+ tensors do'),
  ],
)
def test_other_configurations_are_refused(
  published, tmp_path, field, value, message
):
  path = tmp_path / 'model.safetensors'
  path.write_bytes((published[0] / 'model.safetensors').read_bytes())
  config = tmp_path / 'config.json'
  config.write_text(json.dumps(CONFIG | {field: value}))
  with pytest.raises(ValueError, match=message) as error:
    perceiver_io.load('mlm', path)
  assert str(tmp_path) in str(error.value)
  assert '\n' not in str(error.value)


def test_sizes_of_hugging_faces_classifier(tmp_path):
  """What `transformers` would write of 17 pixels and three classes."""
  sizes = dict(
    inputs=variants.IMAGE_CLASSIFIERS['learned']['inputs']
    | dict(image_size=(17, 17)),
    encoder=dict(
      num_latents=4,
      latent_channels=16,
      num_self_attends_per_block=1,
      num_blocks=2,
      num_self_attend_heads=8,
    ),
    decoder=dict(query_channels=16, use_query_residual=False),
    num_classes=3,
  )
  model = models.image_classifier(**sizes)
  images = jax.random.normal(jax.random.key(0), (2, 17, 17, 3))
  variables = random_variables(model, images)
  path = tmp_path / 'model.safetensors'
  files.save_safetensors(str(path), names.to_hugging_face(variables))
  config = dict(
    architectures=['PerceiverForImageClassificationLearned'],
    model_type='perceiver',
    num_latents=4,
    d_latents=16,
    num_blocks=2,
    num_self_attends_per_block=1,
    num_cross_attention_heads=1,
    image_size=17,
    id2label={'0': 'a', '1': 'b', '2': 'c'},
  )
  (tmp_path / 'config.json').write_text(json.dumps(config))
  loaded, found = perceiver_io.load('imagenet:learned', path)
  np.testing.assert_allclose(
    jax.jit(loaded.apply)(found, images),
    jax.jit(model.apply)(variables, images),
    atol=1e-6,
  )


def test_wrong_files_are_one_line(published, tmp_path):
  path = published[0] / 'file.pth'
  with pytest.raises(ValueError) as error:
    paca_vit.load('small_p2cconv_100_0', path)
  assert str(error.value).startswith(f'{path}, as imagenet:small_p2cconv_100_0')
  assert '\n' not in str(error.value)
  with pytest.raises(FileNotFoundError, match='nothing.pth'):
    paca_vit.load(TINY, tmp_path / 'nothing.pth')
  with pytest.raises(ValueError, match="neither DeepMind's nor Hugging Face's"):
    perceiver_io.load('imagenet:fourier', shutil.copy(path, tmp_path))
  half = tmp_path / 'half.pth'
  half.write_bytes(path.read_bytes()[:100_000])
  harmful = tmp_path / 'harmful.pickle'
  harmful.write_bytes(pickle.dumps({'w': np.ones(2), 'x': pathlib.Path('x')}))
  for damaged in (half, harmful):
    with pytest.raises(ValueError) as error:
      paca_vit.load(TINY, damaged)
    assert str(error.value).startswith(f'{damaged}: ')
    assert '\n' not in str(error.value)
  for package, kinds in ((paca_vit, 'imagenet:tiny'), (perceiver_io, 'mlm:')):
    with pytest.raises(ValueError, match=f"found 'large'; .*{kinds}"):
      package.load('large')


def test_a_kind_alone_is_what_its_config_trains():
  assert variants.full_name('mlm') == 'mlm:base_bytes'
  assert variants.full_name('optical_flow') == 'optical_flow:patch3'
  assert variants.full_name('kinetics') == 'kinetics:784'
  assert paca_variants.full_name(TINY) == f'imagenet:{TINY}'
