"""What `pip install .` installs, tried in a fresh environment."""

import email
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

pytestmark = pytest.mark.full

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = {'perceiver_io', 'paca_vit', 'perceiver_paca'}
FORWARD = """
import sys
import jax
import jax.numpy as jnp
import paca_vit, perceiver_io
from paca_vit.attention import PacaSelfAttention
ours = {'absl', 'ml_collections', 'train_lib', 'configs', 'data', 'tools'}
assert 'site-packages' in paca_vit.__file__, paca_vit.__file__
assert not (ours - {'absl'}) & set(sys.modules), ours & set(sys.modules)
model, variables = paca_vit.load('tiny_p2cconv_100_0')
apply = jax.jit(lambda *args: model.apply(*args, train=False))
logits = apply(variables, jnp.ones((2, 64, 64, 3)))
assert logits.shape == (2, 1000) and jnp.isfinite(logits).all()
model, variables = perceiver_io.load('audioset:raw_audio')
logits = jax.jit(model.apply)(variables, {'audio': jnp.ones((1, 61_440, 1))})
assert logits.shape == (1, 527) and jnp.isfinite(logits).all()
print('forward')
"""


def run(*command, cwd):
  # What PYTHONPATH shows would count as installed.
  env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
  result = subprocess.run(
    [str(part) for part in command],
    cwd=cwd,
    capture_output=True,
    text=True,
    timeout=900,
    check=False,
    env=env,
  )
  assert result.returncode == 0, result.stdout + result.stderr
  return result.stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
  """Built of a copy, so that nothing is left in the checkout."""
  folder = tmp_path_factory.mktemp('wheel')
  source = folder / 'source'
  listed = run('git', 'ls-files', '-co', '--exclude-standard', cwd=ROOT)
  for name in listed.splitlines():
    is_needed = name.split('/')[0] in PACKAGES or '/' not in name
    if is_needed and (ROOT / name).is_file():
      (source / name).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy(ROOT / name, source / name)
  # Generic names that must not come along.
  for name in ('tools', 'configs', 'train_lib', 'data', 'baselines'):
    (source / name).mkdir()
    (source / name / '__init__.py').write_text('')
  pip = [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps']
  run(*pip, '--wheel-dir', folder, source, cwd=folder)
  (path,) = folder.glob('*.whl')
  return path


def test_what_is_inside(wheel):
  with zipfile.ZipFile(wheel) as archive:
    names = archive.namelist()
    (metadata,) = (n for n in names if n.endswith('/METADATA'))
    fields = email.message_from_bytes(archive.read(metadata))
  info = metadata.split('/')[0]
  assert {name.split('/')[0] for name in names} == PACKAGES | {info}
  for package in PACKAGES:
    assert f'{package}/py.typed' in names
  assert any(n.startswith('paca_vit/detection/') for n in names)
  assert not [n for n in names if '/tasks/' in n or '/evaluators/' in n]
  assert [n for n in names if n.endswith('/LICENSE')]

  assert fields['Author'] == 'the Perceiver PaCa authors'
  assert 'Apache-2.0' in (fields['License'], fields['License-Expression'])
  assert '# Perceiver IO and PaCa-ViT' in fields.get_payload()
  assert not [
    (key, value)
    for key, value in fields.items()
    if '://' in value or key in ('Home-page', 'Project-URL', 'Download-URL')
  ]
  required = [
    value.split('>')[0].split('<')[0]
    for value in fields.get_all('Requires-Dist')
    if 'extra ==' not in value
  ]
  assert sorted(required) == ['flax', 'jax', 'numpy']


def test_a_fresh_environment(wheel, tmp_path):
  venv = tmp_path / 'venv'
  run(sys.executable, '-m', 'venv', venv, cwd=tmp_path)
  python = venv / 'bin' / 'python'
  pip = [python, '-m', 'pip', '--disable-pip-version-check']
  constraints = ROOT / 'constraints.txt'
  run(*pip, 'install', '-q', '-c', constraints, wheel, cwd=tmp_path)
  run(*pip, 'check', cwd=tmp_path)
  # -I: whatever PYTHONPATH names is not installed.
  assert run(python, '-I', '-c', FORWARD, cwd=tmp_path) == 'forward\n'
