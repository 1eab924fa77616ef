"""Claims: the page is what files give, and no verdict comes from nothing."""

import math

import numpy as np
import pytest

from tools.claims import (
  claim,
  figures,
  measure,
  page,
  plots,
  rows_trained,
  store,
  studies,
  training,
)

BY_NAME = {row.name: row for row in page.CLAIMS}


def test_the_page_is_made_of_the_files():
  assert page.PAGE.read_text() == page.text()


def test_plots_are_there_if_the_page_shows_them():
  shown = page.PAGE.read_text()
  for plot in plots.PLOTS:
    exists = (plots.FOLDER / plot.file).exists()
    assert (f'images/{plot.file}' in shown) == exists


def test_rows_say_what_where_and_by_what():
  assert len(page.CLAIMS) >= 24 and len(BY_NAME) == len(page.CLAIMS)
  for row in page.CLAIMS:
    assert row.text and row.source
    assert set(row.needs) <= set(measure.NAMES), row.name
  used = {name for row in page.CLAIMS for name in row.needs}
  assert used == set(measure.NAMES)
  assert len(studies.SEEDS) >= 3


def test_without_files_nothing_measured_is_claimed(tmp_path):
  for row in page.CLAIMS:
    verdict, text = page.judgement(row, tmp_path)
    assert verdict in claim.VERDICTS and text
    assert (verdict == claim.OPEN) == bool(row.needs), row.name
    for name in row.needs:
      assert f'python -m tools.claims --only={name}' in text


def test_names_are_of_claims_or_of_what_they_need():
  assert page.measurements([]) == list(measure.NAMES)
  assert page.measurements(['as_good_as_full', 'best_number']) == ['attentions']
  assert page.measurements(['imagenet']) == []
  with pytest.raises(ValueError, match="found 'atentions'; expected .*encode"):
    page.measurements(['atentions'])


def write_runs(folder, name, values, seeds=studies.SEEDS):
  """A study's file: setting -> a value a seed."""
  runs = [
    dict(
      setting=setting,
      seed=seed,
      value=value,
      probe={
        f'stage_1, {kind}': 0.1 * value
        for kind in ('trained', 'untrained', 'dealt at random')
      },
      parameters=1_000,
      multiply_adds=2_500_000,
      cpu_seconds=1,
      date='2026-01-02',
      machine='m',
    )
    for setting, of_seeds in values.items()
    for seed, value in zip(seeds, of_seeds, strict=False)
  ]
  metric = studies.STUDIES[name].metric
  store.write(name, {'metric': metric, 'runs': runs}, folder)


@pytest.mark.parametrize(
  'shared, own, expected',
  [
    ((0.9, 0.91, 0.92), (0.8, 0.81, 0.82), claim.HOLDS),
    ((0.9, 0.91, 0.92), (0.8, 0.95, 0.9), claim.IN_PART),
    ((0.8, 0.81, 0.82), (0.9, 0.91, 0.92), claim.NOT),
  ],
)
def test_a_study_is_judged_when_it_is_whole(shared, own, expected, tmp_path):
  values = {'shared': shared, 'each its own': own}
  write_runs(tmp_path, 'sharing', values, seeds=(0, 1))
  verdict, text = page.judgement(BY_NAME['sharing'], tmp_path)
  assert verdict == claim.OPEN and '4 of 6 runs' in text
  write_runs(tmp_path, 'sharing', values)
  verdict, text = page.judgement(BY_NAME['sharing'], tmp_path)
  assert verdict == expected
  assert f'{np.mean(shared):.3f} ±' in text and 'claims.md' not in text


@pytest.mark.parametrize('name', studies.STUDIES)
def test_every_study_has_a_claim_that_names_its_settings(name, tmp_path):
  settings = studies.STUDIES[name].settings
  values = {
    setting: (0.90 + 0.01 * i, 0.92 + 0.01 * i, 0.91 + 0.01 * i)
    for i, setting in enumerate(settings)
  }
  write_runs(tmp_path, name, values)
  told = ''
  for row in page.CLAIMS:
    if name in row.needs:
      verdict, text = page.judgement(row, tmp_path)
      assert verdict in (claim.HOLDS, claim.IN_PART, claim.NOT)
      told += text
  page_text = page.text(tmp_path)
  for setting in settings:
    named = setting.removesuffix(', permuted') in told
    assert named or name == 'cluster_labels'
    metric = studies.STUDIES[name].metric
    mean = f'{np.mean(values[setting]):.3f} ± 0.025'
    assert f'| {name} | {setting} | {metric} | 3 | {mean} |' in page_text


def test_as_good_needs_the_whole_interval_within_the_margin(tmp_path):
  full = (0.95, 0.95, 0.95)
  for paca, expected in (
    ((0.94, 0.941, 0.939), claim.HOLDS),
    ((0.94, 0.90, 0.98), claim.IN_PART),
    ((0.90, 0.901, 0.899), claim.NOT),
  ):
    values = dict.fromkeys(studies.STUDIES['attentions'].settings, full)
    write_runs(tmp_path, 'attentions', values | {'paca_64': paca})
    found = page.judgement(BY_NAME['as_good_as_full'], tmp_path)
    assert found.verdict == expected, paca


def test_models_that_a_linear_one_beats_tell_nothing(tmp_path):
  settings = studies.STUDIES['attentions'].settings
  values = dict.fromkeys(settings, (0.3, 0.31, 0.32))
  write_runs(tmp_path, 'attentions', values)
  for name in 'as_good_as_full', 'other_attentions', 'best_number':
    found = page.judgement(BY_NAME[name], tmp_path)
    assert found.verdict == claim.UNKNOWN
    assert '0.89 of a linear model' in found.measured
  write_runs(tmp_path, 'attentions', values | {'paca_64': (0.95, 0.94, 0.96)})
  found = page.judgement(BY_NAME['as_good_as_full'], tmp_path)
  assert found.verdict == claim.IN_PART
  assert 'so few steps full did not reach the 0.89' in found.measured


def test_of_losses_the_smaller_ones_learned(tmp_path):
  bert = (3.25, 3.24, 3.26)
  for perceiver, expected in (
    ((3.1, 3.11, 3.09), claim.HOLDS),
    ((3.4, 3.41, 3.42), claim.NOT),
  ):
    write_runs(tmp_path, 'bytes', {'Perceiver IO': perceiver, 'BERT': bert})
    assert page.judgement(BY_NAME['bytes'], tmp_path).verdict == expected
  bad = {'Perceiver IO': (3.4, 3.41, 3.42), 'BERT': (3.5, 3.51, 3.52)}
  write_runs(tmp_path, 'bytes', bad)
  found = page.judgement(BY_NAME['bytes'], tmp_path)
  assert found.verdict == claim.UNKNOWN
  assert "3.336 of the bytes' frequencies" in found.measured


def test_permuting_must_cost_the_others_and_not_the_perceiver(tmp_path):
  settings = studies.STUDIES['permuted'].settings
  values = dict.fromkeys(settings, (0.9, 0.91, 0.92))
  for name in ('convolution', 'ViT'):
    values[f'{name}, permuted'] = 0.5, 0.52, 0.51
  write_runs(tmp_path, 'permuted', values)
  assert page.judgement(BY_NAME['permuted'], tmp_path).verdict == claim.HOLDS
  learned = 'Perceiver, learned positions, permuted'
  write_runs(tmp_path, 'permuted', values | {learned: (0.5, 0.52, 0.51)})
  assert page.judgement(BY_NAME['permuted'], tmp_path).verdict == claim.IN_PART


def test_clusters_specialise_beyond_both_controls():
  def verdict(*stages):
    probes = [
      {f'{i}, trained': stage[seed] for i, stage in enumerate(stages)}
      | {f'{i}, untrained': 0.2 for i, _ in enumerate(stages)}
      | {f'{i}, dealt at random': 0.01 for i, _ in enumerate(stages)}
      for seed in range(3)
    ]
    study = {'probes': {'brain': probes}}
    return rows_trained.cluster_labels({'cluster_labels': study}).verdict

  better, perhaps, worse = [0.4] * 3, [0.1, 0.3, 0.5], [0.1] * 3
  assert verdict(better) == verdict(better, better) == claim.HOLDS
  assert verdict(worse) == verdict(worse, worse) == claim.NOT
  for stages in ((perhaps,), (better, perhaps), (better, worse)):
    assert verdict(*stages) == claim.IN_PART


def test_intervals_are_students():
  found = figures.interval([0.8, 0.9, 1.0])
  assert found.mean == pytest.approx(0.9)
  assert found.half == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-5)
  assert figures.interval([0.5]).half == math.inf
  # Seeds that move both alike cancel.
  assert figures.difference([0.1, 0.5, 0.9], [0.0, 0.4, 0.8]).half < 1e-9


def test_published_figures_are_the_tables():
  assert figures.published('io-7', 'ResNet-50', 'Top-1') == '78.6'
  assert figures.published('io-1', 'Perceiver IO, bytes', 'flops') == '113B'
  with pytest.raises(KeyError):
    figures.published('io-7', 'ResNet-51', 'Top-1')


def test_what_was_not_finished_is_done_again(tmp_path):
  study = studies.STUDIES['sharing']
  everything = list(training.missing('sharing', study, tmp_path))
  assert len(everything) == len(study.settings) * len(studies.SEEDS)
  write_runs(tmp_path, 'sharing', {'shared': (0.5, 0.6)}, seeds=(0, 2))
  left = list(training.missing('sharing', study, tmp_path))
  assert left == [
    x for x in everything if x not in {('shared', 0), ('shared', 2)}
  ]


def test_files_are_whole_and_of_their_measurement(tmp_path):
  store.write('pairs', {'values': 1}, tmp_path)
  assert store.read('pairs', tmp_path)['values'] == 1
  assert [x.name for x in tmp_path.iterdir()] == ['pairs.json']
  (tmp_path / 'pairs.json').rename(tmp_path / 'other.json')
  with pytest.raises(ValueError, match="other.json.*'pairs'.*'other'"):
    store.read('other', tmp_path)
