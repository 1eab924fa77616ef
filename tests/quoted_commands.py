"""Collects the commands that README, docs/ and docstrings quote."""

import ast
import re
from collections.abc import Iterator

from tests.processes import ROOT

_PROGRAM = re.compile(
  r'(?:python3? |taskset |bash |pip |git |docker |launch/\S+\.sh |make [\w-]+$)'
)
# Names a program, leaves out flags.
_ABBREVIATED = re.compile(r'\.\.\.|<\w|=\S*/$')


def _in_lines(text: str) -> Iterator[str]:
  for line in re.sub(r'\\\n\s*', '', text).splitlines():
    # What follows a gap says what the command does.
    line = re.sub(r'\s+#.*|\s{2,}[a-z]+ .*', '', line.strip())
    if _PROGRAM.match(line) and not _ABBREVIATED.search(line):
      yield ' '.join(line.split())


def _in_sentences(text: str) -> Iterator[str]:
  """Between backticks; without any argument a program is only mentioned."""
  for command in re.findall(r'(?<!`)`([^`\n]+)`', text):
    words = command.replace('python -m', 'python').split()
    if len(words) > 2 or words[0] in ('make', 'bash'):
      yield from _in_lines(command)


def _docstrings(source: str) -> Iterator[str]:
  kinds = ast.Module | ast.ClassDef | ast.FunctionDef
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, kinds) and (text := ast.get_docstring(node)):
      yield text


def collect() -> dict[str, str]:
  """{command, on one line: the first file that quotes it}."""
  found = {}
  for path in sorted(ROOT.glob('*.md')) + sorted(ROOT.glob('docs/**/*.md')):
    text = path.read_text()
    blocks = re.findall(r'^ *```\w*\n(.*?)^ *```', text, re.M | re.S)
    outside = re.sub(r'^ *```\w*\n.*?^ *```', '', text, flags=re.M | re.S)
    for command in [*_in_lines('\n'.join(blocks)), *_in_sentences(outside)]:
      found.setdefault(command, str(path.relative_to(ROOT)))
  for path in sorted(ROOT.glob('**/*.py')):
    name = path.relative_to(ROOT)
    if name.parts[0].startswith('.') or name.parts[0] in ('tests', 'build'):
      continue
    for text in _docstrings(path.read_text()):
      for command in [*_in_lines(text), *_in_sentences(text)]:
        found.setdefault(command, str(name))
  return found
