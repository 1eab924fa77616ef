"""Digests: every flipped bit of every file is found, and its file named."""

import hashlib
import json
import random

import pytest
from etils import epath

from train_lib import digests

FILES = {'a': b'x' * 3_000_000, 'b/c': b'', 'b/d/e': bytes(range(256)) * 9}


@pytest.fixture
def folder(tmp_path):
  for name, data in FILES.items():
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  return epath.Path(tmp_path)


def test_what_was_written_is_found_again(folder):
  assert not digests.are_in(folder)
  digests.write(folder)
  assert digests.are_in(folder)
  digests.verify(folder)
  digests.write(folder)  # Over itself, of which it takes none.
  digests.verify(folder)
  assert sorted(p.name for p in folder.iterdir()) == ['a', 'b', digests.NAME]


def test_digests_of_older_checkpoints_are_read(folder):
  old = {name: hashlib.sha256(x).hexdigest() for name, x in FILES.items()}
  (folder / digests.NAME).write_text(json.dumps(old))
  digests.verify(folder)
  (folder / 'a').write_bytes(b'y' + FILES['a'][1:])
  with pytest.raises(digests.DamagedError, match='a is damaged'):
    digests.verify(folder)


@pytest.mark.parametrize('digest', [None, 7, ['x'], 'x' * 64, ''])
def test_what_is_no_digest_is_damage(folder, digest):
  (folder / digests.NAME).write_text(json.dumps({'a': digest}))
  with pytest.raises(digests.DamagedError):
    digests.verify(folder)


@pytest.mark.parametrize('seed', range(40))
def test_a_flipped_bit_is_found(folder, seed):
  digests.write(folder)
  rng = random.Random(seed)
  name = rng.choice([*(n for n, data in FILES.items() if data), digests.NAME])
  data = bytearray((folder / name).read_bytes())
  data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
  (folder / name).write_bytes(bytes(data))
  with pytest.raises(digests.DamagedError) as error:
    digests.verify(folder)
  if name != digests.NAME:
    assert str(folder / name) in str(error.value)


def test_files_that_are_missing_cut_short_or_longer(folder):
  digests.write(folder)
  (folder / 'b/c').write_bytes(b'x')
  with pytest.raises(digests.DamagedError, match='b/c is damaged'):
    digests.verify(folder)
  (folder / 'b/c').unlink()
  with pytest.raises(digests.DamagedError, match='b/c is missing'):
    digests.verify(folder)
  (folder / 'b/c').write_bytes(b'')
  (folder / 'a').write_bytes(FILES['a'][:-1])
  with pytest.raises(digests.DamagedError, match='a is damaged'):
    digests.verify(folder)


@pytest.mark.parametrize('text', ['', '{', '[]', '{}', 'null', '"a"', '\0' * 9])
def test_digests_that_are_none(folder, text):
  (folder / digests.NAME).write_text(text)
  with pytest.raises(digests.DamagedError, match=digests.NAME):
    digests.verify(folder)
  (folder / digests.NAME).unlink()
  with pytest.raises(digests.DamagedError, match='missing'):
    digests.verify(folder)
