"""Manuals that Debian ships as text: those of Perl, Python and Vim.

Any folder's files `.pod` and `.txt` do. These packages', 28 million characters,
need not be installed:

  apt-get download perl-doc python3.11-doc vim-runtime
  for package in *.deb; do dpkg-deb -x $package manuals; done
  python -m data.prepare language.manuals \
    --data_dir=$HOME/tensorflow_datasets \
    --manual_dir=manuals

A tenth of the files, chosen by a checksum of their names, is the test split.
What two files have in common would be known by heart: every paragraph is kept
where it is first, in training files before test files, and what speaks of
licences nowhere. The packages' own files `copyright` say what may be done with
their texts (Artistic or GPL; PSF; Vim); none of it is in this repository.
"""

import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence

import tensorflow_datasets as tfds

from data import folders, tfds_source
from data.language import text

preprocess = text.preprocess_masked

_SUFFIXES = ('.pod', '.txt')
_LEGAL = re.compile(r'copyright|licen[cs]e|warrant(y|ies)', re.IGNORECASE)
_MIN_CHARACTERS = 500  # of a document that says something
_STRIDE = 512


class Manuals(tfds.core.GeneratorBasedBuilder):
  """Writes one document a file."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'Paragraphs once, nothing on licences.'}

  MANUAL_DOWNLOAD_INSTRUCTIONS = 'Files .pod and .txt, in any folders.'

  def _info(self):
    return self.dataset_info_from_configs(
      description='Manuals as text.',
      features=tfds.features.FeaturesDict(
        {'name': tfds.features.Text(), 'text': tfds.features.Text()}
      ),
    )

  def _split_generators(self, dl_manager):
    found = documents(pathlib.Path(dl_manager.manual_dir))
    return {
      split: self._generate_examples(chosen) for split, chosen in found.items()
    }

  def _generate_examples(self, named_documents):
    for name, document in named_documents:
      yield name, {'name': name, 'text': document}


def main(argv):
  args = tfds_source.preparation_parser(
    __name__, 'Reads manuals.', manual_dir=Manuals.MANUAL_DOWNLOAD_INSTRUCTIONS
  ).parse_args(argv)
  tfds_source.prepare(Manuals, args)


def documents(folder: pathlib.Path) -> dict[str, list[tuple[str, str]]]:
  """Split -> (name, text) of each of its files.

  Raises:
    ValueError: if the folder has none for one of them.
  """
  paths = sorted(p for p in folder.rglob('*') if p.suffix in _SUFFIXES)
  splits, unread = {'train': [], 'test': []}, []
  for path in paths:
    name = str(path.relative_to(folder))
    try:
      splits[text.split_of(name)].append((name, folders.read_text(path)))
    except ValueError:  # some manuals are older than UTF-8
      unread.append(name)
  if unread:
    print(
      f'{len(unread)} of {len(paths)} files are not UTF-8 and left out: '
      f'{", ".join(unread[:3])}{", ..." if len(unread) > 3 else ""}.'
    )
  seen: set[str] = set()
  found = {split: list(_new(texts, seen)) for split, texts in splits.items()}
  for split, chosen in found.items():
    if not chosen:
      raise ValueError(
        f'--manual_dir: found no text for the split {split!r} in {folder}; '
        f'expected files of {" and ".join(_SUFFIXES)}, a tenth to test.'
      )
  return found


def _new(
  named_texts: Iterable[tuple[str, str]], seen: set[str]
) -> Iterator[tuple[str, str]]:
  """Those that have enough not in `seen`, to which it is added."""
  for name, whole in named_texts:
    kept = []
    for paragraph in re.split(r'\n\s*\n', whole):
      words = ' '.join(paragraph.split())
      if words and words not in seen and not _LEGAL.search(words):
        seen.add(words)
        kept.append(paragraph.strip('\n'))
    document = text.SEPARATOR.join(kept)
    if len(document) >= _MIN_CHARACTERS:
      yield name, document


def source(split: str, data_dir: str | None) -> Sequence:
  """Windows of the documents, concatenated by tens; see `text`."""
  examples = tfds_source.open_prepared(
    Manuals.name,
    split,
    data_dir,
    command='python -m data.prepare language.manuals',
    decoders={},
  )
  documents = [text.as_text(x['text']) for x in examples]
  return text.Windows(documents, _STRIDE)


def synthetic(split: str, num_documents: int = 40) -> text.Windows:
  """Examples shaped like `source`'s, of invented words."""
  return text.Windows(text.synthetic_documents(split, num_documents), _STRIDE)
