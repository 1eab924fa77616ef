"""A TPU's compiler on a machine that has none: set before JAX looks."""

import os

os.environ.update(
  TPU_SKIP_MDS_QUERY='1',
  TPU_ACCELERATOR_TYPE='v5litepod-8',
  TPU_WORKER_HOSTNAMES='localhost',
  JAX_PLATFORMS='cpu',
  JAX_ENABLE_COMPILATION_CACHE='false',  # which has no device to load it on
)
