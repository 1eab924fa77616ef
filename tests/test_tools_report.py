"""The page of a run: valid, complete, of itself alone, and shown."""

import html.parser
import json
import shutil
import subprocess

import numpy as np
import PIL.Image
import pytest
from absl import flags
from absl.testing import flagsaver

from tools import report
from train_lib import pictures

BROWSER = shutil.which('chromium') or shutil.which('google-chrome')
COLOR = (250, 10, 240)
VOID = ('meta', 'img')


@pytest.fixture
def workdir(tmp_path):
  folder = tmp_path / 'a <run>'
  folder.mkdir()
  rows = [
    {'step': 5, 'loss': 2.0, 'test/accuracy': 0.25},
    {'step': 10, 'loss': 1.0, 'test/accuracy': 0.75, 'pictures/count': 3.0},
  ]
  lines = '\n'.join(json.dumps(row) for row in rows)
  (folder / 'metrics.jsonl').write_text(lines + '\n')
  picture = PIL.Image.new('RGB', (300, 100), COLOR)
  album = pictures.Album(
    pictures.folder_of(folder, 'my pictures'),
    'Colours & more',
    'How to read them.',
  )
  for step in (5, 10):
    album.write(
      step, ((picture, f'At {step} < 11, number {i}') for i in range(11))
    )
  return folder


class Page(html.parser.HTMLParser):
  """Checks the nesting; collects texts and links."""

  def __init__(self, text):
    super().__init__()
    self.links, self.images, self.texts, self._open = [], [], [], []
    self.feed(text)
    assert not self._open

  def handle_starttag(self, tag, attrs):
    attrs = dict(attrs)
    if tag == 'img':
      assert attrs['alt'] and int(attrs['width']) and int(attrs['height'])
      self.images.append(attrs['src'])
    if 'href' in attrs:
      self.links.append(attrs['href'])
    assert 'src' not in attrs or tag == 'img'
    if tag not in VOID:
      self._open.append(tag)

  def handle_endtag(self, tag):
    assert self._open.pop() == tag

  def handle_data(self, data):
    self.texts.append(data)


def test_page_has_the_last_pictures_and_metrics(workdir):
  text = report.make_page(workdir)
  assert text.startswith('<!DOCTYPE html>')
  page = Page(text)
  names = [f'pictures/my%20pictures/0000010_{i}.png' for i in range(11)]
  assert page.images == page.links == names
  for name in names:
    assert (workdir / name.replace('%20', ' ')).exists()
  for want in (
    *(
      'a <run>',
      'Colours & more ',
      'my pictures',
      'How to read them.',
      '10 steps.',
    ),
    *('At 10 < 11, number 0', '0.75', '0.25', 'accuracy', 'test'),
  ):
    assert want in page.texts, want
  assert not any('At 5' in x for x in page.texts)


def test_page_needs_nothing_from_elsewhere(workdir):
  text = report.make_page(workdir)
  assert '//' not in text and '<script' not in text and 'url(' not in text


def test_origin_is_what_eval_kept(workdir):
  results = {
    'date': '2026-11-23',
    'command': 'python eval.py --config=a&b',
    'metrics': {'test/accuracy': 0.75, 'later/score': 0.125},
  }
  (workdir / 'results.json').write_text(json.dumps(results))
  page = Page(report.make_page(workdir))
  assert 'python eval.py --config=a&b' in page.texts
  assert page.texts.count('0.125') == page.texts.count('accuracy') == 1


def test_pictures_that_say_nothing_are_shown_under_their_folder(workdir):
  folder = workdir / 'pictures' / 'flow' / 'plain'
  folder.mkdir(parents=True)
  PIL.Image.new('L', (4, 4)).save(folder / '0000003_0.png')
  page = Page(report.make_page(workdir))
  assert 'flow/plain ' in page.texts
  assert 'pictures/flow/plain/0000003_0.png' in page.images


def test_two_of_a_kind_are_both_shown_and_so_is_svg(workdir):
  svg = '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"></svg>'
  for name in ('first', 'second'):
    album = pictures.Album(pictures.folder_of(workdir, name), 'Boards', 'So.')
    album.write(10, [(svg, f'a <b> of {name}')])
  page = Page(report.make_page(workdir))
  assert page.texts.count('Boards ') == page.texts.count('So.') == 2
  for name in ('first', 'second'):
    assert f'a <b> of {name}' in page.texts
    assert f'pictures/{name}/0000010_0.svg' in page.images


ABOUT = {
  'task': 'paca_vit.tasks.classification',
  'data': 'data.images.digits',
  'batch_size': 24,
  'parameters': 1234567,
  'device': '1 x cpu, 2 cores',
  'best_metric': 'test/accuracy',
  'evals': ['test', 'my pictures', 'early'],
}


def keep_results(workdir, **metrics):
  metrics = {name.replace('__', '/'): x for name, x in metrics.items()}
  results = {
    'date': '2026-11-23',
    'command': 'python eval.py',
    'metrics': metrics,
    'about': ABOUT,
  }
  (workdir / 'results.json').write_text(json.dumps(results))


def test_what_decides_comes_first_and_a_run_says_what_it_is(workdir):
  keep_results(workdir, test__accuracy=0.75, early__accuracy=0.5)
  pictures.Album(pictures.folder_of(workdir, 'early'), 'Early', '').write(
    10, [(PIL.Image.new('L', (4, 4)), '')]
  )
  rows = [json.loads(x) for x in open(workdir / 'metrics.jsonl')]
  for row in rows:  # 5 steps of 24 examples at 2 and at 4 a second
    row['examples_per_second'] = 2.0 if row['step'] == 5 else 4.0
  lines = '\n'.join(json.dumps(row) for row in rows)
  (workdir / 'metrics.jsonl').write_text(lines)
  page = Page(report.make_page(workdir))
  texts = [x.strip() for x in page.texts if x.strip()]
  assert texts[texts.index('a <run>', 1) + 1 :][:2] == ['test accuracy', '0.75']
  for want in (
    *('paca_vit.tasks.classification', 'data.images.digits', '1,234,567'),
    *('1 x cpu, 2 cores', '1.5 minutes'),
  ):
    assert want in texts, want
  order = [texts.index(x) for x in ('my pictures', 'Early')]
  assert order == sorted(order)  # As the config has them, not by name.


def test_runs_are_set_beside_each_other(workdir, tmp_path):
  other = tmp_path / 'b'
  shutil.copytree(workdir, other)
  keep_results(workdir, test__accuracy=0.75)
  keep_results(other, test__accuracy=0.25, only__here=0.125)
  row = {'step': 15, 'loss': 1.0, 'test/accuracy': 0.875}
  with open(other / 'metrics.jsonl', 'a') as file:
    file.write(json.dumps(row) + '\n')
  page = Page(report.make_page(workdir, other))
  texts = [x for x in page.texts if x.strip()]
  assert texts[texts.index('test accuracy') :][:3] == [
    *('test accuracy', '0.75', '0.875'),
  ]
  assert '10 steps.' in texts and '15 steps.' in texts
  assert '0.125' in texts
  links = [x for x in page.images if x.startswith('../b/pictures/')]
  assert len(links) == 11 and len(page.images) == 22
  assert (workdir / links[0].replace('%20', ' ')).exists()


# The file, what is in it, and whether a page is left.
BROKEN = [
  ('results.json', '', True),
  ('results.json', '{"metrics"', True),
  ('results.json', '[1]', True),
  ('results.json', '{"metrics": [1]}', True),
  ('results.json', '{"metrics": {"test/accuracy": "high"}}', True),
  ('results.json', '{"metrics": {"test/accuracy": null}, "about": 3}', True),
  ('metrics.jsonl', '{"step": 5, "loss": 2.0}\n{"step": 10, "lo', True),
  ('metrics.jsonl', '\0\0\n{"step": 5, "loss": 2.0}\n', True),
  ('metrics.jsonl', '[3]\n"x"\n{"step": 5, "loss": null}\n', True),
  ('metrics.jsonl', '', False),
  ('metrics.jsonl', 'nothing', False),
  ('pictures/my pictures/0000010_0.png', 'no picture', True),
  ('pictures/my pictures/0000010_0.png', '', True),
  ('pictures/my pictures/0000010_11.svg', '<svg', True),
  ('pictures/my pictures/0000010_11.svg', '<svg/>', True),
]


@pytest.mark.parametrize('name, text, is_left', BROKEN)
def test_what_is_broken_is_left_out_and_said(
  workdir, name, text, is_left, capsys
):
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  (workdir / name).write_text(text)
  with flagsaver.flagsaver(workdir=str(workdir)):
    if not is_left:
      with pytest.raises(ValueError, match=f'^--workdir: .*{name}'):
        report.main(['report'])
      return
    report.main(['report'])
  page = Page((workdir / 'index.html').read_text())
  assert not any(link.endswith(name[-13:]) for link in page.images)
  if name != 'metrics.jsonl':
    assert name in capsys.readouterr().err


@pytest.mark.full
@pytest.mark.skipif(BROWSER is None, reason='needs Chromium')
def test_a_browser_shows_it(workdir, tmp_path):
  (workdir / 'index.html').write_text(report.make_page(workdir))
  shot = tmp_path / 'shot.png'
  subprocess.run(
    [
      *(BROWSER, '--headless', '--no-sandbox', '--disable-gpu'),
      f'--user-data-dir={tmp_path / "profile"}',
      *('--window-size=1200,2000', f'--screenshot={shot}'),
      (workdir / 'index.html').as_uri(),
    ],
    check=True,
    capture_output=True,
    timeout=120,
  )
  pixels = np.asarray(PIL.Image.open(shot).convert('RGB')).astype(int)
  shown = (np.abs(pixels - COLOR).max(axis=-1) < 8).sum()
  assert shown == 11 * 300 * 100
