"""The flag --output, which several programs have."""

from absl import flags

OUTPUT = flags.DEFINE_string('output', None, 'File or folder to write.')
