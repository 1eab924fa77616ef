"""The check itself, on a tiny config: what it reports and what it refuses.

make tpu-compile
"""

import dataclasses

import pytest

from tools import compile_check

NAME = 'perceiver_io/mnist5k:tiny'


def test_reports_one_device_of_the_mesh():
  options = {'mesh.tensor': 2, 'mesh.inputs': 2}
  report = compile_check.check(NAME, 'v5e:2x4', options)
  assert report.num_devices == 8
  assert 0 < report.arguments < 2**20 and 0 < report.temporaries < 2**30
  assert report.flops > 0 and report.moved > 0
  assert report.collectives['all-reduce'] > 0
  assert 0 < report.step_seconds(report.chip) < 1e-2
  assert NAME in compile_check.table([report])


def test_too_little_memory_and_large_gathers_are_errors(monkeypatch):
  small = dataclasses.replace(compile_check.CHIPS['v5e'], hbm=1000)
  with monkeypatch.context() as patch:
    patch.setitem(compile_check.CHIPS, 'v5e', small)
    with pytest.raises(compile_check.CheckError, match='a device needs'):
      compile_check.check(NAME, 'v5e:2x2', {})
