"""What differs between processes is named by its option."""

from train_lib import agreement


def test_the_first_option_that_differs_is_named():
  mine = agreement._leaves({'a': {'b': 1, 'c': [1, 2]}, 'd': None})
  assert mine == {'a.b': 1, 'a.c': [1, 2], 'd': None}
  assert agreement._difference(mine, dict(mine)) is None
  problem = agreement._difference(mine, mine | {'a.c': [1, 3]})
  assert problem.startswith('config.a.c: found [1, 2]; expected [1, 3]')
  other = {k: v for k, v in mine.items() if k != 'a.b'}
  assert agreement._difference(mine, other).startswith('config.a.b: found 1')
  code = {'code': 'x'}, {'code': 'y'}
  assert 'other code' in agreement._difference(*code)


def test_code_is_told_apart(monkeypatch, tmp_path):
  (tmp_path / 'data').mkdir()
  monkeypatch.setattr(agreement, '_ROOT', tmp_path)
  nothing = agreement._code()
  (tmp_path / 'data' / 'a.py').write_text('x = 1')
  something = agreement._code()
  (tmp_path / 'data' / 'a.py').write_text('x = 2')
  assert len({nothing, something, agreement._code()}) == 3
