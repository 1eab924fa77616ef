"""What simple models reach on the data of a run: what a model must beat.

  python -m tools.simple_baselines --workdir=runs/photos

Always the most frequent class, and logistic regression: of texts on how often
each word comes; of pictures and films on the mean frame, 16 x 16 pixels; of
sounds on the mean and deviation over time of each band. Fitted to all of the
training split, measured as each of the run's evaluations of such data: where
one hides the pictures, both hide them. Where several labels may apply, mAP in
percent is told, too, of which chance is the mean share of the classes'
examples.
"""

import warnings
from collections.abc import Sequence

import ml_collections
import numpy as np
from absl import app, flags
from sklearn import exceptions, linear_model, multiclass, preprocessing
from sklearn import pipeline as sklearn_pipeline
from sklearn.feature_extraction import text as sklearn_text

from perceiver_io.evaluators import mean_average_precision
from train_lib import evaluators, pipeline, run_files, runtime

_SIDE = 16


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  config = run_files.config_of(runtime.CONFIG.value, runtime.WORKDIR.value)
  for evaluation, data in evaluations(config).items():
    fitted = read(pipeline.inherited(data, {'split': config.data.split}))
    for name, value in baselines(fitted, read(data)).items():
      print(f'{evaluation}: {name}: {value:.4g}')


def evaluations(config) -> dict[str, ml_collections.ConfigDict]:
  """Name -> data of those that read what is trained on, each data once."""
  found = {}
  for name, section in evaluators.sections(config).items():
    is_new = section.data not in found.values()
    if is_new and section.data.module == config.data.module:
      found[name] = section.data
  return found


def read(data_config) -> tuple[Sequence, np.ndarray]:
  """Texts or features [examples, F], and labels: classes [examples] or which
  of them apply [examples, K]."""
  raw, module = pipeline.open_source(data_config)
  preprocess = pipeline.eval_preprocess(module, data_config)
  found, labels = [], []
  for i in range(len(raw)):
    example = preprocess(raw[i])
    labels.append(example['labels' if 'labels' in example else 'label'])
    is_text = 'texts' in raw[i]
    found.append(' '.join(raw[i]['texts']) if is_text else features(example))
  return (found if is_text else np.stack(found)), np.stack(labels)


def features(example) -> np.ndarray:
  """[F], of what the example has of `image` and `audio`."""
  found = []
  if 'image' in example:
    image = np.asarray(example['image'], np.float64)
    height, width, channels = image.shape[-3:]
    mean = image.reshape(-1, height, width, channels).mean(axis=0)
    for axis, size in ((0, height), (1, width)):
      places = np.arange(min(_SIDE, size)) * size // min(_SIDE, size)
      mean = np.add.reduceat(mean, places, axis=axis)
    found.append(mean.ravel())
  if 'audio' in example:
    audio = np.asarray(example['audio'], np.float64)
    bands = audio.reshape(-1, audio.shape[-1])
    found += [bands.mean(axis=0), bands.std(axis=0)]
  return np.concatenate(found)


def baselines(fitted, measured) -> dict[str, float]:
  """Name -> accuracy or mAP.

  Args:
    fitted, measured: see `read`.
  """
  (x, y), (new, expected) = fitted, measured
  scale = preprocessing.StandardScaler()
  if isinstance(x[0], str):
    scale = sklearn_text.CountVectorizer()
  simple = linear_model.LogisticRegression(max_iter=1_000)
  if y.ndim == 2:
    simple = multiclass.OneVsRestClassifier(simple)
  model = sklearn_pipeline.make_pipeline(scale, simple)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
    model.fit(x, y)
  if y.ndim == 1:
    most = np.bincount(y).argmax()
    return {
      'always the most frequent class, accuracy': np.mean(expected == most),
      'logistic regression, accuracy': np.mean(model.predict(new) == expected),
    }
  found = mean_average_precision.results(model.predict_proba(new), expected)
  known = expected[:, expected.any(axis=0)]
  most = y.sum(axis=0).argmax()
  return {
    'chance, map': 100 * known.mean(),
    'always the most frequent class, accuracy': expected[:, most].mean(),
    'logistic regression, map': found['map'],
    'logistic regression, accuracy': found['accuracy'],
  }


if __name__ == '__main__':
  flags.mark_flag_as_required('workdir')
  runtime.run(main)
