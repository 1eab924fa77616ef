"""Every test runs on eight fake CPU devices and shares the compile cache."""

import os

os.environ['XLA_FLAGS'] = (
  os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=8'
)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# On a GPU a float32 product would be one of TensorFloat-32.
os.environ.setdefault('JAX_DEFAULT_MATMUL_PRECISION', 'highest')
os.environ.setdefault(
  'JAX_COMPILATION_CACHE_DIR',
  os.path.expanduser('~/.cache/perceiver-paca/xla'),
)
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.1')
