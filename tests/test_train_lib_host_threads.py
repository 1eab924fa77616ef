"""Products of NumPy's are of one thread, unless the user says otherwise."""

import numpy as np  # noqa: F401, brings BLAS
import pytest
import threadpoolctl

from train_lib import host_threads


def num_threads():
  found = threadpoolctl.threadpool_info()
  return {x['num_threads'] for x in found if x['user_api'] == 'blas'}


@pytest.mark.parametrize('name', host_threads._VARIABLES)
def test_what_the_user_says_stands(name):
  environ = {name: '3'}
  assert not host_threads.one_a_product(environ)
  assert environ == {name: '3'}


def test_one_thread_here_and_in_processes_that_follow():
  environ = {}
  with threadpoolctl.threadpool_limits(2, user_api='blas'):
    assert num_threads() == {2}
    assert host_threads.one_a_product(environ)
    assert num_threads() == {1}
  assert environ == {'OPENBLAS_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1'}
