"""Draws a run's learning curves: `python -m tools.plot_metrics --workdir=...`.

Reads metrics.jsonl; writes curves.png into the workdir: the training loss and
the evaluations' losses on the left, other metrics that were evaluated more than
once on the right, all over steps.
"""

import contextlib
import os
from collections import defaultdict

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402
from absl import app, flags  # noqa: E402

from train_lib import (  # noqa: E402
  mirror,
  places,
  runtime,
  strict_json,
  writer,
)
from train_lib.runtime import WORKDIR  # noqa: E402


def read_curves(path: str) -> dict[str, tuple[list[int], list[float]]]:
  """Returns name -> (steps, values) of every scalar in a metrics.jsonl."""
  curves = defaultdict(lambda: ([], []))
  with open(path, errors='replace') as f:
    for line in f:
      try:
        row = strict_json.scalars(line)
        step = row.pop('step')
      except (ValueError, KeyError):  # The run is writing it, or was killed.
        continue
      for name, value in row.items():
        curves[name][0].append(step)
        curves[name][1].append(value)
  return dict(curves)


def plot(curves: dict[str, tuple[list[int], list[float]]], path: str) -> None:
  """Writes the picture."""
  losses = [n for n in curves if n == 'loss' or n.endswith('/loss')]
  others = [
    name
    for name, (steps, _) in curves.items()
    if '/' in name and name not in losses and len(steps) > 1
  ]
  figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout='constrained')
  for axis, names in zip(axes, (losses, others), strict=True):
    for name in names:
      steps, values = curves[name]
      marker = 'o' if '/' in name else None
      axis.plot(steps, values, marker=marker, markersize=3, label=name)
    axis.set_xlabel('step')
    axis.grid(alpha=0.3)
    if names:
      axis.legend()
  axes[0].set_ylabel('loss')
  axes[0].set_yscale('log')
  axes[1].set_ylabel('metric')
  figure.savefig(path, dpi=120)
  plt.close(figure)


def check(workdir: str) -> None:
  """Raises UsageError if a workdir has no metrics."""
  source = places.of(workdir) / writer.METRICS
  if not source.exists():
    raise app.UsageError(f'--workdir: {source} does not exist; train first.')


def plot_run(folder: str) -> str:
  """Draws into a run's folder, and returns the picture's path.

  Raises:
    ValueError: it has no metrics that can be read.
  """
  source = os.path.join(folder, writer.METRICS)
  curves = read_curves(source)
  if not curves:
    raise ValueError(
      f'--workdir: {places.shown(source)} has no line that can be read; train '
      'first.'
    )
  target = os.path.join(folder, 'curves.png')
  plot(curves, target)
  return target


def main(argv):
  del argv
  check(WORKDIR.value)
  with contextlib.closing(mirror.Mirror(WORKDIR.value)) as files:
    files.fetch(writer.METRICS)
    target = plot_run(files.folder)
  print(places.shown(target))


if __name__ == '__main__':
  flags.mark_flag_as_required('workdir')
  runtime.run(main)
