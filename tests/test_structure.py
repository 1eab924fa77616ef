"""The project's rules that a machine can check."""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent

# Package -> what it may import of this repository (architecture of the README).
ALLOWED = {
  'configs': {'configs'},
  'ops': {'ops'},
  'train_lib': {'train_lib'},
  'perceiver_io': {'perceiver_io', 'ops'},
  'paca_vit': {'paca_vit', 'ops'},
  'baselines': {'baselines', 'ops'},
}
WITH_TRAIN_LIB = ('tasks', 'evaluators')
OURS = set(ALLOWED) | {'tests', 'tools', 'benchmarks', 'train', 'eval'}
PROGRAMS = ('train.py', 'eval.py')


def imported(path):
  """Top-level names that a file imports, wherever in it."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name.split('.')[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield node.module.split('.')[0]


def python_files(package):
  return sorted((ROOT / package).rglob('*.py'))


@pytest.mark.parametrize('package', ALLOWED)
def test_imports_point_one_way(package):
  for path in python_files(package):
    allowed = set(ALLOWED[package])
    if set(path.relative_to(ROOT).parts) & set(WITH_TRAIN_LIB):
      allowed.add('train_lib')
    wrong = (set(imported(path)) & OURS) - allowed
    assert not wrong, f'{path} imports {wrong}'


@pytest.mark.parametrize('package', ['configs', 'ops'])
def test_configs_and_ops_need_little(package):
  known = {
    'configs': {'ml_collections'},
    'ops': {'jax', 'numpy'},
  }[package] | set(sys.stdlib_module_names)
  for path in python_files(package):
    wrong = set(imported(path)) - known - {package}
    assert not wrong, f'{path} imports {wrong}'


def test_programs_know_no_task():
  words = ('perceiver', 'paca', 'mnist', 'imagenet', 'coco', 'ade20k')
  for program in PROGRAMS:
    text = (ROOT / program).read_text().lower()
    assert not [word for word in words if word in text]
    assert (set(imported(ROOT / program)) & OURS) <= {'train_lib'}
