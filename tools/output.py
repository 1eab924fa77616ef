"""Flags that several programs have."""

from absl import flags

CHECK = flags.DEFINE_bool('check', False, 'Compare and write nothing.')
OUTPUT = flags.DEFINE_string('output', None, 'File or folder to write.')
