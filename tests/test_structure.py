"""The project's rules that a machine can check."""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent

# Rooms that both families are built from.
INSTALLED = (
  'perceiver_paca.layers',
  'perceiver_paca.ops',
  'perceiver_paca.weights',
)
# Room -> the rooms that it may import.
ALLOWED = {
  'perceiver_paca.ops': {'perceiver_paca.ops'},
  'perceiver_paca.layers': {'perceiver_paca.ops'},
  'perceiver_paca.weights': {'perceiver_paca.weights'},
  'perceiver_io': {'perceiver_io', *INSTALLED},
  'paca_vit': {'paca_vit', *INSTALLED},
  'baselines': {'baselines', 'perceiver_paca.ops'},
  'configs': {'configs', 'perceiver_io.variants', 'paca_vit.variants'},
  'train_lib': {'train_lib', 'perceiver_paca.ops'},
  'data': {'data', 'train_lib'},
}
# What their folders of these names may import, too.
OF_TRAINING = ('tasks', 'evaluators'), {'train_lib', 'data'}
ROOMS = set(ALLOWED) | {'tests', 'tools', 'benchmarks'}
ROOMS |= {'train', 'eval', 'predict'}
PROGRAMS = ('train.py', 'eval.py', 'predict.py')
# Room -> the packages of others that it does with, beside Python's own.
PACKAGES = {
  'configs': {'ml_collections'},
  'perceiver_paca.ops': {'jax', 'numpy'},
  'perceiver_paca.layers': {'jax', 'flax'},
  'perceiver_paca.weights': {'numpy', 'ml_dtypes'},  # numpy with bfloat16
  'perceiver_io': {'jax', 'flax', 'numpy'},
  'paca_vit': {'jax', 'flax', 'numpy'},
  'perceiver_io.variants': set(),  # plain data
  'paca_vit.variants': set(),
}
# Only inside of functions: who reads other files does without.
LAZY = {'perceiver_paca.weights': {'safetensors'}}

AXES = {'data', 'fsdp', 'tensor', 'inputs'}
# Two of them mean something else, too, where no mesh is spoken of.
AMBIGUOUS = {'data', 'inputs'}
OF_MESHES = {
  *('P', 'PartitionSpec', 'Mesh', 'AbstractMesh', 'make_mesh'),
  *('psum', 'pmax', 'pmean', 'all_gather', 'axis_index', 'axis_size'),
}
MESH = ROOT / 'perceiver_paca' / 'ops' / 'mesh.py'


def python_files(room):
  path = ROOT / room.replace('.', '/')
  return sorted(path.rglob('*.py')) or [path.with_suffix('.py')]


def imported(nodes):
  """Dotted names that ast nodes import."""
  for node in nodes:
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


def all_imported(path):
  """Wherever in a file."""
  return list(imported(ast.walk(ast.parse(path.read_text()))))


def rooms(names):
  """Those of ours that dotted names lie in."""
  for name in names:
    yield from (r for r in ROOMS if f'{name}.'.startswith(f'{r}.'))


def is_of_training(path):
  return bool(set(path.relative_to(ROOT).parts) & set(OF_TRAINING[0]))


@pytest.mark.parametrize('room', ALLOWED)
def test_imports_point_one_way(room):
  assert python_files(room)
  for path in python_files(room):
    allowed = set(ALLOWED[room])
    if is_of_training(path):
      allowed |= OF_TRAINING[1]
    names = set(all_imported(path))
    names -= {n for n in names for a in allowed if f'{n}.'.startswith(f'{a}.')}
    wrong = {n for n in names if set(rooms([n]))}
    assert not wrong, f'{path} imports {wrong}'


def test_evaluators_compile_for_the_mesh_alone():
  """By `sharding.jit_on_batches` and `jit_everywhere`, not without a mesh."""
  paths = [
    path
    for room in ('paca_vit', 'perceiver_io', 'baselines', 'train_lib', 'data')
    for path in python_files(room)
    if '\ndef make_evaluator(' in path.read_text()
  ]
  assert ROOT / 'train_lib' / 'evaluate.py' in paths and len(paths) > 10
  for path in paths:
    for node in ast.walk(ast.parse(path.read_text())):
      name = node.attr if isinstance(node, ast.Attribute) else None
      assert name not in ('jit', 'pmap', 'on_mesh'), f'{path}: {name}'


@pytest.mark.parametrize('room', PACKAGES)
def test_some_rooms_need_little(room):
  """Those of `pip install .`: what they import is what it installs."""
  known = PACKAGES[room] | set(sys.stdlib_module_names)
  known |= {name.split('.')[0] for name in (room, *ALLOWED.get(room, ()))}
  lazy = LAZY.get(room, set())
  for path in python_files(room):
    if is_of_training(path):
      continue
    tree = ast.parse(path.read_text())
    anywhere = {name.split('.')[0] for name in imported(ast.walk(tree))}
    at_once = {name.split('.')[0] for name in imported(tree.body)}
    wrong = (anywhere - known - lazy) | (at_once - known)
    assert not wrong, f'{path} imports {wrong}'


def imported_at_once(path, seen):
  """All that importing one of our files imports, by way of the others."""
  for name in imported(ast.parse(path.read_text()).body):
    for module in (name, name.rpartition('.')[0]):
      file = (ROOT / module.replace('.', '/')).with_suffix('.py')
      if module and file.exists() and file not in seen:
        seen.add(file)
        yield from imported_at_once(file, seen)
    yield name.split('.')[0]


def test_predicting_starts_fast():
  """tensorboardX imports PyTorch, which takes longer than all the rest."""
  for program in 'predict.py', 'eval.py':
    found = set(imported_at_once(ROOT / program, set()))
    assert {'jax', 'grain', 'PIL'} <= found
    slow = {'tensorboardX', 'torch', 'sklearn', 'matplotlib', 'tensorflow'}
    assert not found & slow


def axis_names(tree):
  """(line, name) of mesh axes that a file writes out."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Constant) and node.value in AXES - AMBIGUOUS:
      yield node.lineno, node.value
    parts = []
    if isinstance(node, ast.Call):
      called = ast.unparse(node.func)
      # P(..., 'data'), mesh.shape.get('data', 1)
      if called.split('.')[-1] in OF_MESHES or 'shape' in called:
        parts = [*node.args, *(k.value for k in node.keywords)]
    elif isinstance(node, ast.Subscript) and 'shape' in ast.unparse(node.value):
      parts = [node.slice]
    elif isinstance(node, ast.Compare) and 'axis_names' in ast.unparse(node):
      parts = [node]
    for part in parts:
      for x in ast.walk(part):
        if isinstance(x, ast.Constant) and x.value in AMBIGUOUS:
          yield x.lineno, x.value


def test_axes_of_meshes_are_named_once():
  """Configs, which say what a mesh is, write them out; and tests."""
  packages = (*ALLOWED, 'perceiver_paca', 'tools', 'benchmarks')
  paths = {p for room in packages for p in python_files(room)}
  paths |= {ROOT / program for program in PROGRAMS}
  paths -= {MESH, *python_files('configs')}
  for path in sorted(paths):
    found = list(axis_names(ast.parse(path.read_text())))
    assert not found, f'{path} writes out {found}; {MESH} has their names'


@pytest.mark.parametrize(
  'code, count',
  [
    ("P(('data', 'fsdp'), None)", 2),
    ("jax.sharding.Mesh(devices, ('data',))", 1),
    ("dict(mesh.shape).get('inputs', 1)", 1),
    ("mesh.shape['data']", 1),
    ("'inputs' in mesh.axis_names", 1),
    ("layout == 'tensor'", 1),
    ("jax.lax.psum(x, axis_name='data')", 1),
    ("checkpoint['data'], variables['params']['inputs'], P(DATA)", 0),
  ],
)
def test_what_names_an_axis_is_seen(code, count):
  assert len(list(axis_names(ast.parse(code)))) == count


def test_data_sets_are_prepared_by_one_program():
  """TFDS finds no home for a builder that is defined in `__main__`."""
  programs = [p for p in python_files('data') if '__main__' in p.read_text()]
  assert programs == [ROOT / 'data' / 'prepare.py']


def test_programs_know_no_task():
  words = ('perceiver', 'paca', 'mnist', 'imagenet', 'coco', 'ade20k')
  for program in PROGRAMS:
    text = (ROOT / program).read_text().lower()
    assert not [word for word in words if word in text]
    allowed = 'train_lib', 'configs.schema', 'tools.output', 'tools.zoo'
    names = set(all_imported(ROOT / program))
    assert set(rooms(names)) <= {x.partition('.')[0] for x in allowed}
    assert not [
      x
      for x in names
      if x.startswith(('configs', 'tools')) and not x.startswith(allowed)
    ]


def test_no_file_and_no_function_is_long():
  for path in ROOT.rglob('*.py'):
    folder = path.relative_to(ROOT).parts[0]
    if folder.startswith('.') or folder in ('build', 'runs'):
      continue
    source = path.read_text()
    assert source.count('\n') <= 320, path
    for node in ast.walk(ast.parse(source)):
      if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        length = node.end_lineno - node.lineno + 1
        assert length <= 90, f'{path}: {node.name}'
