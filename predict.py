"""Predicts: `python predict.py --workdir=runs/photos new/*.jpg`.

--model=NAME instead of --workdir is a trained model that comes along, one of
those that `python -m tools.zoo` lists.

Inputs are files or folders of what the run was trained on. Without --output a
line for each is printed; with --output=NAME.csv or NAME.jsonl it is a row, with
--output=FOLDER also files, such as masks, and files about all inputs are
written there. Inputs that cannot be read are named, counted and left out, and
the exit code is 1. What may be told of a kind of predictions, such as the scale
of motions, is --option=NAME=VALUE; docs/own-data.md lists them.

In Python: `predict.load('runs/photos')(['a.jpg', 'b.jpg'])`.
"""

import csv
import json
import os
import pathlib
import sys
from collections.abc import Iterable

import ml_collections
import numpy as np
from absl import app, flags

from tools import zoo
from tools.output import OUTPUT
from train_lib import prediction, run_files, runtime, trained

OPTION = flags.DEFINE_multi_string(
  'option', [], 'Of the kind of predictions: NAME=VALUE.'
)


def load(
  workdir: str,
  config: ml_collections.ConfigDict | None = None,
  best: bool = False,
  **options,
) -> prediction.Predictor:
  """A trained run as a function from a list of inputs to their predictions.

  Args:
    workdir: of the run.
    config: for a run that keeps none, or for imported weights.
    best: the best checkpoint instead of the last.
    **options: of the kind of predictions, such as scale=0.5 of motions.
  """
  config = run_files.config_of(config, workdir)
  return prediction.Predictor(config, workdir, best, options)


def write(predictions: Iterable[prediction.Prediction], output: str) -> None:
  """Writes a .csv or .jsonl file, or a folder with a .jsonl file.

  Raises:
    OSError: it cannot be written.
  """
  path = pathlib.Path(output)
  is_folder = path.suffix.lower() not in ('.csv', '.jsonl')
  (path if is_folder else path.parent).mkdir(parents=True, exist_ok=True)
  rows = [{'input': x.input} | x.values for x in predictions]
  if is_folder:
    path = path / 'predictions.jsonl'
  with open(path, 'w', newline='', encoding='utf-8') as file:
    if path.suffix.lower() == '.csv':
      names = dict.fromkeys(name for row in rows for name in row)
      writer = csv.DictWriter(file, list(names))
      writer.writeheader()
      writer.writerows(rows)
    else:
      for row in rows:
        file.write(json.dumps(row, ensure_ascii=False) + '\n')


def save_files(
  predicted: prediction.Prediction, folder: str, taken: set[str]
) -> None:
  """Writes an input's files under its name, and a number if it is taken."""
  if not predicted.files:
    return
  stem = pathlib.Path(predicted.input).stem
  name, number = stem, 2
  while name in taken:
    name, number = f'{stem}_{number}', number + 1
  taken.add(name)
  os.makedirs(folder, exist_ok=True)
  for suffix, held in predicted.files.items():
    path = pathlib.Path(folder, name + suffix)
    if isinstance(held, bytes):
      path.write_bytes(held)
    elif isinstance(held, np.ndarray):
      np.save(path, held)
    elif callable(held):
      held(path)
    else:
      held.save(path)


def _option(text: str) -> tuple[str, str]:
  name, equals, value = text.partition('=')
  if not equals:
    raise ValueError(f'--option: expected NAME=VALUE, found {text!r}.')
  return name, value


def main(argv):
  if len(argv) < 2:
    raise app.UsageError('Expected inputs: files or folders.')
  runtime.initialize()
  output = OUTPUT.value
  in_folder = output and not output.lower().endswith(('.csv', '.jsonl'))
  try:
    name = zoo.MODEL.value
    predictor = load(
      zoo.workdir(name) if name else runtime.WORKDIR.value,
      runtime.CONFIG.value,
      trained.BEST.value,
      **dict(map(_option, OPTION.value)),
    )
  except (ValueError, FileNotFoundError) as e:
    raise SystemExit(str(e)) from e
  inputs, failed = predictor.expand(argv[1:])
  done, taken = {}, set()
  for i, predicted in predictor.stream(inputs):
    if predicted.error:
      failed.append(predicted.error)
      continue
    if in_folder:
      save_files(predicted, output, taken)
    done[i] = predicted._replace(files={})
  done = [done[i] for i in sorted(done)]
  if output:
    write(done, output)
    for name, held in predictor.summary(done).items() if in_folder else ():
      path = pathlib.Path(output, name)
      held(path) if callable(held) else path.write_text(held)
    print(f'{len(done)} predictions: {output}')
  else:
    for x in done:
      values = '  '.join(f'{value}' for value in x.values.values())
      print(f'{x.input}  {values}')
  for message in failed:
    print(message, file=sys.stderr)
  if failed:
    inputs = 'input' if len(failed) == 1 else 'inputs'
    sys.exit(f'{len(failed)} {inputs} cannot be read.')


if __name__ == '__main__':
  flags.mark_flags_as_mutual_exclusive(['workdir', 'model'], required=True)
  try:
    runtime.run(main)
  except BrokenPipeError:  # `| head` has seen enough.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
