"""What was trained here: the page is what the files say."""

import json
import re

import pytest

from tools import results

RUN = {
  'task': 'digits',
  'config': 'configs/paca_vit/mnist5k.py:demo',
  'command': 'make demo',
  'figures': [
    {
      'name': 'accuracy',
      'value': '0.50',
      'unit': '',
      'beside': {'chance': '0.1'},
    },
    {'name': 'error', 'value': '1.25', 'unit': 'px', 'beside': {}},
  ],
  'examples': '10 digits',
  'length': '2 epochs',
  'machine': None,
  'minutes': 3,
  'date': '2026-01-02',
  'picture': '',
  'note': 'By hand.',
}


def test_the_page_is_made_of_the_files():
  page = results.page(results.read(results.RESULTS))
  assert results.PAGE.read_text() == page
  for path in results.RESULTS.glob('*.json'):
    for figure in json.loads(path.read_text())['figures']:
      assert f'{figure["name"]}: {figure["value"]}' in page


def test_rows_say_what_is_known():
  page = results.page([RUN])
  row = (
    '| digits | accuracy: 0.50 | chance: 0.1 | 10 digits | 2 epochs, 3 minutes'
  )
  assert f'{row}, 2026-01-02 |\n|  | error: 1.25 px |  |  |  |\n' in page
  assert page.endswith('- digits: `make demo`. By hand.\n')
  assert '| digits | `make demo` | accuracy: 0.50 |' in results.short([RUN])


@pytest.mark.parametrize(
  'change, message',
  [
    (dict(config='configs/paca_vit/mnist5k.py:demi'), "x.json: .*'demo'"),
    (dict(colour='red'), 'x.json: found .*colour.*expected'),
  ],
)
def test_bad_files_are_named(change, message, tmp_path):
  (tmp_path / 'x.json').write_text(json.dumps(RUN | change))
  with pytest.raises(ValueError, match=message):
    results.read(tmp_path)


def test_the_readme_shows_figures_of_the_files():
  runs = results.read(results.RESULTS)
  readme = (results.ROOT / 'README.md').read_text()
  rows = re.findall(
    r'^\| .* \| `([a-z_0-9/]+\.py:\w+)` \| (.*) \|$', readme, re.M
  )
  shown = 0
  for config, text in rows:
    numbers = set(re.findall(r'\d+\.\d+', text))
    known = {
      figure['value']
      for run in runs
      if run['config'] == f'configs/{config}'
      for figure in run['figures']
    }
    assert numbers <= known, config
    shown += len(numbers)
  assert shown
