"""Prepares a data set that does not prepare itself on first use.

  python -m data.prepare images.imagenet --data_dir DIR --manual_dir ARCHIVES

The module's `main` does it. It is imported by its own name: TFDS finds no home
for a builder that is defined in `__main__`.
"""

import argparse
import importlib
import importlib.util
import re


def main():
  parser = argparse.ArgumentParser(
    prog='python -m data.prepare', description='Prepares a data set.'
  )
  parser.add_argument('module', help='in data/, such as images.imagenet')
  parser.add_argument(
    'flags', nargs=argparse.REMAINDER, help='its own; MODULE --help lists them'
  )
  args = parser.parse_args()
  name = f'data.{args.module}'
  try:
    is_there = importlib.util.find_spec(name) is not None
  except ModuleNotFoundError:
    is_there = False  # nor is its folder
  if not is_there:
    parser.error(
      f'module: found {args.module!r}, expected one of data/, such as '
      'images.imagenet.'
    )
  module = importlib.import_module(name)
  if not hasattr(module, 'main'):
    parser.error(f'module: {args.module} needs no preparation by hand.')
  try:
    module.main(args.flags)
  except (OSError, ValueError) as e:
    text = ' '.join(str(e).split())
    # A file that is not there or that is no such file, a disk that is full; a
    # ValueError that names neither option nor file is a fault of the program.
    if isinstance(e, ValueError) and not re.match(r'--|\S*/', text):
      raise
    parser.exit(1, f'data.prepare {args.module}: {text}\n')


if __name__ == '__main__':
  main()
