"""What the site has beside docs/: files of the top level, notebooks executed,
and a reference.

Notebooks are kept as text, docs/notebooks/*.py, whose cells begin with `# %%`:
`jupytext --to ipynb docs/notebooks/photos.py` makes one for Jupyter. A build
executes them; with NOTEBOOKS=tiny in the environment it trains small models two
steps, with NOTEBOOKS=text it executes nothing, for who writes other pages.

Pages of docs/ link to files of the repository as a reader of the repository
sees them, `](../LICENSE)`. Those files become part of the site, as they are.
"""

import logging
import os
import pathlib
import re
import resource
import sys

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parent.parent
_OUTSIDE = re.compile(r'\]\(\.\./([\w./-]+)\)')
# Configs of which the size does not matter to what a notebook does.
_SMALL = re.compile(r'/(finetune|arrays)\.py:demo')
_NOTEBOOKS = ROOT / 'docs' / 'notebooks'
_AS_TEXT = re.compile(r'\]\(notebooks/(\w+)\.py\)')
# A link whose text is a file's name.
_NAMED = re.compile(r'\[(?:\.\./)?[\w/-]+\.(?:md|py)\](?=\(([\w./-]+\.md)\))')
# In pages of the top level.
_INSIDE = re.compile(r'\]\(docs/')
_TOP_LEVEL = ('CONTRIBUTING.md', 'CHANGELOG.md')
# What `pip install .` gives, without what belongs to the research codebase.
_LIBRARIES = ('perceiver_io', 'paca_vit', 'perceiver_paca')
_NOT_INSTALLED = {'tasks', 'evaluators'}
_log = logging.getLogger('mkdocs.hooks.site')


def modules(library: str) -> list[str]:
  """Dotted names of a library's modules, the package itself first."""
  found = []
  for path in sorted((ROOT / library).rglob('*.py')):
    parts = path.relative_to(ROOT).with_suffix('').parts
    if not _NOT_INSTALLED & set(parts):
      found.append('.'.join(parts).removesuffix('.__init__'))
  return sorted(found)


def executed(path: pathlib.Path, how: str) -> tuple[str, dict[str, bytes]]:
  """A notebook as Markdown, and its pictures by their names.

  Args:
    path: of the notebook's text.
    how: 'tiny': what it trains is small and takes two steps; 'text': nothing is
      executed.

  Raises:
    nbclient.exceptions.CellExecutionError: a cell fails.
  """
  import jupytext
  import nbclient
  import nbconvert

  text = path.read_text()
  if how == 'tiny':
    text = re.sub(r'^NUM_STEPS = \d+', 'NUM_STEPS = 2', text, flags=re.M)
    text = _SMALL.sub(r'/\1.py:tiny', text)
  notebook = jupytext.reads(text, fmt='py:percent')
  options = {'metadata': {'path': str(path.parent)}}
  # What a notebook calls `python` is the one that builds the site.
  programs = pathlib.Path(sys.executable).parent
  if str(programs) not in os.environ['PATH'].split(os.pathsep):
    os.environ['PATH'] = f'{programs}{os.pathsep}{os.environ["PATH"]}'
  if how != 'text':
    nbclient.NotebookClient(
      notebook,
      timeout=900,
      kernel_name='python3',
      coalesce_streams=True,
      resources=options,
    ).execute()
  markdown, found = nbconvert.MarkdownExporter().from_notebook_node(
    notebook, {'unique_key': path.stem}
  )
  markdown = markdown.replace('```bash\n%%bash\n', '```bash\n')
  return markdown, dict(found.get('outputs', {}))


def _cpu_seconds() -> float:
  """Of the kernels that have ended, and what they started."""
  used = resource.getrusage(resource.RUSAGE_CHILDREN)
  return used.ru_utime + used.ru_stime


def on_files(files, config):
  """Adds the top level's pages, what pages link to, and the reference."""
  outside = {
    name
    for file in files.documentation_pages()
    for name in _OUTSIDE.findall(file.content_string)
  }
  for name in sorted({*_TOP_LEVEL, *outside} - {'README.md'}):
    text = _INSIDE.sub('](', (ROOT / name).read_text())
    files.append(File.generated(config, name, content=text))
  how = os.environ.get('NOTEBOOKS', 'whole')
  for path in sorted(_NOTEBOOKS.glob('*.py')):
    before = _cpu_seconds()
    text, pictures = executed(path, how)
    if how != 'text':
      seconds = _cpu_seconds() - before
      _log.info('%s took %.0f CPU seconds.', path.name, seconds)
    name = f'notebooks/{path.stem}.md'
    files.append(File.generated(config, name, content=text))
    for picture, content in pictures.items():
      name = f'notebooks/{picture}'
      files.append(File.generated(config, name, content=content))
  for library in _LIBRARIES:
    text = f'# {library}\n\n' + '\n'.join(f'::: {x}' for x in modules(library))
    files.append(
      File.generated(config, f'reference/{library}.md', content=text)
    )
  return files


def on_page_markdown(markdown, page, config, files):
  """Links leave docs/ no more; the first page calls pages by their titles."""
  del config
  if page.file.src_uri.startswith('notebooks/'):
    return markdown
  markdown = markdown.replace('](../README.md)', '](README.md)')
  markdown = _AS_TEXT.sub(r'](notebooks/\1.md)', markdown)
  markdown = _OUTSIDE.sub(r'](\1)', markdown)
  if page.file.src_uri != 'README.md':
    return markdown

  def titled(link):
    file = files.get_file_from_path(link[1])
    title = file and re.match(r'\s*# (.+)', file.content_string)
    return f'[{title[1]}]' if title else link[0]

  return _NAMED.sub(titled, markdown)
