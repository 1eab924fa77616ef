"""How tests start programs: as a user does, compiled with least effort."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).parent.parent
LEAST_EFFORT = (
  '--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false'
)


def environment(devices=1, **variables):
  """Variables of a program on so many fake devices; python is this one."""
  bin_folder = os.path.dirname(sys.executable)
  return os.environ | {
    'PATH': f'{bin_folder}:{os.environ["PATH"]}',
    'XLA_FLAGS': (
      f'--xla_force_host_platform_device_count={devices} {LEAST_EFFORT}'
    ),
    **variables,
  }
