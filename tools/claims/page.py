"""docs/claims.md, made of the claims and of the files in results/claims/."""

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tools.claims import (
  figures,
  measure,
  plots,
  rows_elsewhere,
  rows_of_costs,
  rows_of_equalities,
  rows_of_sizes,
  rows_trained,
  store,
  studies,
)
from tools.claims.claim import OPEN, VERDICTS, Claim, Judgement

PAGE = store.ROOT / 'docs' / 'claims.md'
PARTS = {
  'Operations, memory, time': rows_of_costs.ROWS,
  'The published models, counted': rows_of_sizes.ROWS,
  'What is the same': rows_of_equalities.ROWS,
  'What is learned': rows_trained.ROWS,
  'What needs data or weights that are not here': rows_elsewhere.ROWS,
}
CLAIMS = tuple(claim for rows in PARTS.values() for claim in rows)

PREFACE = """# Claims, put to the test

Made by `python -m tools.claims --report` of the files in `results/claims/`.
What is not measured yet is measured by `python -m tools.claims`, which can be
stopped at any time and goes on where it was; `--only=NAME` measures one thing.
Verdicts are computed from the figures, by the rules in `tools/claims/`. What
was trained is small, on real data that packages ship: a verdict is about such
models, not about ImageNet. ± is half of a 95 % interval over three seeds, by
Student's t, and differences are taken seed by seed; of a single seed nothing is
said. Where two settings are not told apart, a claim that one is better holds
"in part" if its mean is ahead. Published counts of models are those of
[paper-tables.md](paper-tables.md).

"""


def measurements(names: Sequence[str]) -> list[str]:
  """Those of these names, and those that claims of these names need.

  Raises:
    ValueError: a name is neither's.
  """
  needs = {claim.name: claim.needs for claim in CLAIMS}
  found = []
  for name in names or measure.NAMES:
    if name not in needs and name not in measure.NAMES:
      raise ValueError(
        f'found {name!r}; expected some of '
        f'{", ".join(sorted({*needs, *measure.NAMES}))}.'
      )
    found += [name] if name in measure.NAMES else needs[name]
  return list(dict.fromkeys(found))


def judgement(claim: Claim, folder: pathlib.Path = store.RESULTS) -> Judgement:
  """What is to be said of a claim, by the files in a folder."""
  found, missing = {}, []
  for name in claim.needs:
    content = store.read(name, folder)
    values = None if content is None else _values(name, content)
    if values is None:
      missing.append(_progress(name, content))
    found[name] = values
  if missing:
    return Judgement(OPEN, '; '.join(missing))
  return claim.judge(found)


def _values(name: str, content: Mapping[str, Any]) -> dict[str, Any] | None:
  """A measurement's values; of a study by setting and seed, if it is whole."""
  if name in measure.COMPUTED:
    return content['values']
  runs = {(run['setting'], run['seed']): run for run in content['runs']}
  study = studies.STUDIES[name]
  wanted = [
    (setting, seed) for setting in study.settings for seed in studies.SEEDS
  ]
  if not set(wanted) <= set(runs):
    return None

  def by_setting(key):
    return {
      setting: [runs[setting, seed].get(key) for seed in studies.SEEDS]
      for setting in study.settings
    }

  values = by_setting('value')
  return values | ({'probes': by_setting('probe')} if study.probe else {})


def _progress(name, content) -> str:
  text = ''
  if name in studies.STUDIES:
    total = len(studies.STUDIES[name].settings) * len(studies.SEEDS)
    done = len(content['runs']) if content else 0
    text = f'{done} of {total} runs; '
  return f'{text}`python -m tools.claims --only={name}`'


def text(folder: pathlib.Path = store.RESULTS) -> str:
  """The whole page."""
  judged = {claim.name: judgement(claim, folder) for claim in CLAIMS}
  counts = collections.Counter(x.verdict for x in judged.values())
  summary = ', '.join(f'{v}: {counts[v]}' for v in VERDICTS if counts[v])
  parts = [PREFACE, f'{len(CLAIMS)} claims. {summary.capitalize()}.\n']
  for title, rows in PARTS.items():
    parts.append(f'\n## {title}\n\n')
    parts.append('| claim | where | published | measured here | verdict |\n')
    parts.append('| --- | --- | --- | --- | --- |\n')
    for claim in rows:
      verdict, measured = judged[claim.name]
      cells = claim.text, claim.source, claim.published, measured, verdict
      parts.append(f'| {" | ".join(cells)} |\n')
    for plot in plots.PLOTS:
      if plot.part == title and plot.draw(folder) is not None:
        parts.append(f'\n![{plot.caption}](images/{plot.file})\n')
  parts += [_runs(folder), _measurements(folder)]
  return ''.join(parts)


def _runs(folder) -> str:
  """A table for all that was trained, whole studies or not."""
  lines = []
  for name, study in studies.STUDIES.items():
    content = store.read(name, folder)
    for setting in study.settings:
      runs = [
        run
        for run in (content['runs'] if content else ())
        if run['setting'] == setting
      ]
      if runs:
        lines.append(_setting_row(name, study, setting, runs))
  if not lines:
    return ''
  header = ('study', 'setting', 'metric', 'seeds', 'mean', 'parameters')
  header += ('10⁶ multiply-adds', 'CPU seconds a run')
  table = (header, ('---',) * len(header), *lines)
  return f'\n## All that was trained\n\n{_LINEAR_MODELS}\n' + ''.join(
    f'| {" | ".join(line)} |\n' for line in table
  )


_LINEAR_MODELS = """\
Beside accuracies on digits: of logistic regressions of the pixels with four
penalties (scikit-learn's C of 0.001, 0.01, 0.1 and 1) the best has 0.904 on the
same test digits, and 0.913 on 14 x 14 pixels.
"""


def _setting_row(name, study, setting, runs) -> tuple[str, ...]:
  mean = figures.interval([run['value'] for run in runs])
  seconds = sum(run['cpu_seconds'] for run in runs) / len(runs)
  return (
    name,
    setting,
    study.metric,
    str(len(runs)),
    str(mean) if len(runs) > 1 else f'{mean.mean:.3f}',
    f'{runs[0]["parameters"]:,}',
    f'{runs[0]["multiply_adds"] / 1e6:.2f}',
    f'{seconds:.0f}',
  )


def _measurements(folder) -> str:
  """What was measured, when and where, with the commands."""
  lines = ['\n## How it was measured\n\n']
  for name in measure.NAMES:
    content = store.read(name, folder)
    if content is None:
      continue
    if name in measure.COMPUTED:
      lines.append(
        f'- `{content["command"]}`: {content["cpu_seconds"]:.0f} CPU seconds, '
        f'{content["machine"]}, {content["date"]}.\n'
      )
      continue
    study, runs = studies.STUDIES[name], content['runs']
    seconds = sum(run['cpu_seconds'] for run in runs)
    dates = sorted({run['date'] for run in runs})
    lines.append(
      f'- `python -m tools.claims --only={name}`: {len(runs)} runs of '
      f'{study.options["num_steps"]:,} steps, {study.metric}, '
      f'{study.measured_on}; {seconds:,} CPU seconds together, '
      f'{runs[-1]["machine"]}, {" to ".join(sorted({dates[0], dates[-1]}))}. '
      f"Each run's own command is in `results/claims/{name}.json`.\n"
    )
  return ''.join(lines)


def write() -> None:
  PAGE.write_text(text())
