"""Links lead somewhere, pictures have a licence, the README fits a page."""

import pathlib
import re

import pytest
import yaml

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/*.md')])
LINK = re.compile(r'\]\(([^)#\s]*)(#[^)\s]*)?\)')
HEAD = re.compile(r'^#+ (.*)$', re.MULTILINE)


def anchors(page):
  """Of its headings, as GitHub makes them."""
  heads = HEAD.findall(page.read_text(encoding='utf-8'))
  return {
    re.sub(r'[^\w\- ]', '', head.lower()).replace(' ', '-') for head in heads
  }


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
  for target, anchor in LINK.findall(page.read_text(encoding='utf-8')):
    if '://' in target:
      continue
    file = page.parent / target if target else page
    assert file.exists(), f'{page}: {target} does not exist'
    if anchor:
      assert anchor[1:] in anchors(file), f'{page}: {target}{anchor}'


def test_every_page_is_in_the_index():
  index = (ROOT / 'docs' / 'README.md').read_text(encoding='utf-8')
  for page in ROOT.glob('docs/*.md'):
    assert page.name == 'README.md' or f']({page.name}' in index, page


def test_every_picture_has_its_source_and_licence():
  licences = (ROOT / 'docs' / 'licences.md').read_text(encoding='utf-8')
  pictures = list((ROOT / 'docs' / 'images').iterdir())
  assert pictures
  for picture in pictures:
    assert f'images/{picture.name}`' in licences, picture
  named = re.findall(r'`(images/[^`]*)`', licences)
  for name in named:
    assert (ROOT / 'docs' / name).exists(), name


def test_readme_fits_a_page():
  text = (ROOT / 'README.md').read_text(encoding='utf-8')
  assert len(text.splitlines()) <= 100


def test_citation_names_both_papers():
  cited = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
  assert cited['cff-version'] == '1.2.0' and cited['authors']
  assert cited['license'] == 'Apache-2.0'
  urls = {x['url'].rpartition('/')[2] for x in cited['references']}
  assert urls == {'2107.14795', '2203.11987'}
  assert (ROOT / 'LICENSE').read_text().lstrip().startswith('Apache License')
