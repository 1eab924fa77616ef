"""The site of `make docs`: no page is forgotten, no link is dead."""

import importlib.util
import re
import subprocess
import sys

import pytest
import yaml

from tests.processes import ROOT, environment

NOTEBOOKS = sorted((ROOT / 'docs' / 'notebooks').glob('*.py'))
# What each prints at the end of its work.
SHOWN = {
  'photos': 'of 120 held-out pieces are recognised',
  'clusters': 'without top 2',
  'arrays': 'nearest neighbour',
  'masked_sentences': 'validation/accuracy',
  'pod': 'largest difference',
}


def pages(nav):
  """The pages that a navigation names, in their order."""
  for entry in nav:
    if isinstance(entry, str):
      yield entry
    else:
      for inner in entry.values():
        yield from pages(inner)


def test_every_page_is_in_the_navigation():
  nav = yaml.safe_load((ROOT / 'mkdocs.yml').read_text())['nav']
  named = [page for page in pages(nav) if not page.startswith('reference/')]
  written = {path.name for path in (ROOT / 'docs').glob('*.md')}
  written |= {f'notebooks/{path.stem}.md' for path in NOTEBOOKS}
  assert sorted(named) == sorted({*written, 'CONTRIBUTING.md', 'CHANGELOG.md'})


@pytest.mark.full
@pytest.mark.skipif(
  importlib.util.find_spec('mkdocs') is None, reason="needs the extra 'docs'"
)
def test_the_site_is_built_and_has_what_the_libraries_offer(tmp_path):
  """Strictly: a dead link or anchor fails, and so does a notebook's cell."""
  done = subprocess.run(
    [sys.executable, '-m', 'mkdocs', 'build', '--site-dir', str(tmp_path)],
    cwd=ROOT,
    env=environment(NO_MKDOCS_2_WARNING='1', NOTEBOOKS='tiny'),
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  for name in (
    'perceiver_io.load.load',
    'perceiver_io.perceiver.Encoder',
    'paca_vit.attention.PacaSelfAttention',
    'perceiver_paca.ops.attention.attention',
  ):
    page = tmp_path / 'reference' / f'{name.partition(".")[0]}.html'
    assert f'id="{name}"' in page.read_text(), name
  assert {path.stem for path in NOTEBOOKS} == SHOWN.keys()
  for name, text in SHOWN.items():
    assert text in (tmp_path / 'notebooks' / f'{name}.html').read_text(), name
  assert list((tmp_path / 'notebooks').glob('clusters*.png'))
  assert 'Apache' in (tmp_path / 'LICENSE').read_text()
  assert '>What do clusters see?</a>:' in (tmp_path / 'index.html').read_text()
  loaded = re.compile(r'<(?:script|link|img)[^>]*(?:src|href)="?(?:https?:)?//')
  for page in tmp_path.rglob('*.html'):
    assert not loaded.search(page.read_text()), page  # it works offline
