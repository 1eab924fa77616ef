"""Manuals: every paragraph once, none on licences, splits by file."""

import pytest

from data.language import manuals, text

LONG = 'What a command does is said in as many words as it takes. ' * 12


def written(folder, count=40):
  """Files of a paragraph of their own each and one that all have."""
  for i in range(count):
    path = folder / f'doc{i % 3}' / f'page{i}.{("pod", "txt")[i % 2]}'
    path.parent.mkdir(exist_ok=True)
    own = f'Of the {i}th command. {LONG}'
    path.write_text(f'{own}\n\nAll  have\nthis.\n \nThe LICENSE, {i}.\n')
  (folder / 'left.html').write_text(LONG)
  (folder / 'old.txt').write_bytes(LONG.encode() + b'\xe9t\xe9')
  return folder


def test_paragraphs_are_in_one_document_and_training_comes_first(
  tmp_path, capsys
):
  found = manuals.documents(written(tmp_path))
  said = capsys.readouterr().out
  assert said == '1 of 41 files are not UTF-8 and left out: old.txt.\n'
  texts = {split: [x for _, x in found[split]] for split in found}
  assert len(texts['train']) + len(texts['test']) == 40
  assert 1 <= len(texts['test']) < 10
  assert sum('All  have\nthis.' in x for x in texts['train']) == 1
  assert not any('All' in x for x in texts['test'])
  assert not any('LICENSE' in x for part in texts.values() for x in part)
  own = [x.split('. ')[0] for part in texts.values() for x in part]
  assert len(set(own)) == 40


def test_prepared_manuals_are_windows_of_their_documents(tmp_path):
  folder = tmp_path / 'manuals'
  folder.mkdir()
  sets = str(tmp_path / 'sets')
  manuals.main([f'--data_dir={sets}', f'--manual_dir={written(folder)}'])
  test = manuals.source('test', sets)
  documents = [x for _, x in manuals.documents(folder)['test']]
  whole = ''.join(test[i]['text'][: test[i]['span']] for i in range(len(test)))
  assert sorted(whole.split(text.SEPARATOR)) == sorted(documents)


def test_a_folder_without_manuals_is_told(tmp_path):
  with pytest.raises(
    ValueError, match='--manual_dir: found no text for .*train'
  ):
    manuals.documents(tmp_path)


def test_what_is_not_prepared_says_what_prepares_it(tmp_path):
  command = 'data.prepare language.manuals'
  with pytest.raises(FileNotFoundError, match=command):
    manuals.source('train', str(tmp_path))
