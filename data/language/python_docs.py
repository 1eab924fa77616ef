"""English that every Python brings along: its own documentation.

The language reference (`pydoc_data.topics`) and the docstrings of the standard
library: some 400 documents, 1.7 million characters. A tenth of them, chosen by
a checksum of their names, is the test split. The data set's version is that of
the Python whose documentation it is.
"""

import ast
import inspect
import os
import sys
import sysconfig
from collections.abc import Iterator
from pydoc_data import topics

import tensorflow_datasets as tfds

from data import tfds_source
from data.language import text

preprocess = text.preprocess_masked

# Not documentation, or not part of every installation.
_SKIPPED_FOLDERS = {
  '__pycache__',
  'dist-packages',
  'idlelib',
  'lib2to3',
  'site-packages',
  'test',
  'tests',
  'turtledemo',
}
_MIN_CHARACTERS = 200  # of a docstring that says something
_STRIDE = 512


class PythonDocs(tfds.core.GeneratorBasedBuilder):
  """Writes one document a topic and one a module."""

  VERSION = tfds.core.Version('.'.join(map(str, sys.version_info[:3])))
  RELEASE_NOTES = {str(VERSION): 'The documentation of this Python.'}

  def _info(self):
    return self.dataset_info_from_configs(
      description="Python's language reference and docstrings.",
      features=tfds.features.FeaturesDict(
        {'name': tfds.features.Text(), 'text': tfds.features.Text()}
      ),
      homepage='https://docs.python.org',
    )

  def _split_generators(self, dl_manager):
    splits = {'train': [], 'test': []}
    for name, document in documents():
      splits[text.split_of(name)].append((name, document))
    return {
      split: self._generate_examples(chosen) for split, chosen in splits.items()
    }

  def _generate_examples(self, named_documents):
    for name, document in named_documents:
      yield name, {'name': name, 'text': document}


def documents() -> Iterator[tuple[str, str]]:
  """Yields (name, text): topics, then modules by path."""
  for name, document in sorted(topics.topics.items()):
    yield f'topics/{name}', document.strip()
  root = sysconfig.get_path('stdlib')
  seen = set()  # Modules copy each other's docstrings.
  for folder, subfolders, files in os.walk(root):
    subfolders[:] = sorted(set(subfolders) - _SKIPPED_FOLDERS)
    for file in sorted(f for f in files if f.endswith('.py')):
      path = os.path.join(folder, file)
      docstrings = [d for d in _docstrings(path) if d not in seen]
      seen.update(docstrings)
      if docstrings:
        yield os.path.relpath(path, root), text.SEPARATOR.join(docstrings)


def _docstrings(path: str) -> list[str]:
  """Those of a module, its classes and functions, in the source's order."""
  with open(path, 'rb') as f:
    tree = ast.parse(f.read())
  nodes = [
    node
    for node in ast.walk(tree)
    if isinstance(
      node,
      ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
    )
  ]
  nodes.sort(key=lambda node: getattr(node, 'lineno', 0))
  found = (ast.get_docstring(node, clean=False) or '' for node in nodes)
  cleaned = (inspect.cleandoc(docstring) for docstring in found)
  return [d for d in cleaned if len(d) >= _MIN_CHARACTERS]


def source(split: str, data_dir: str | None) -> text.Windows:
  """Windows of the documents, concatenated by tens; see `text`."""
  examples = tfds_source.prepare_and_open(PythonDocs, split, data_dir)
  return text.Windows([x['text'] for x in examples], _STRIDE)


def synthetic(split: str, num_documents: int = 40) -> text.Windows:
  """Examples shaped like `source`'s, of invented words."""
  return text.Windows(text.synthetic_documents(split, num_documents), _STRIDE)
