"""The papers' tables: drifts are found, and columns are not mixed up."""

import functools
import json

import pytest

from tests import linear_task
from tools import paper_tables, published_models
from train_lib import cost, results, trained

DATA = json.loads(paper_tables.PUBLISHED.read_text())
MODEL = 'paca_vit/imagenet:tiny_p2cconv_100_0'
TABLE = {
  'id': 't',
  'title': 'Title',
  'source': 'Source',
  'columns': ['Top-1', 'AP'],
  'metrics': {'Top-1': ['validation/accuracy', 100]},
  'rows': [
    {'name': 'Theirs', 'values': ['80.0', '']},
    {
      'name': 'Ours',
      'values': ['81.0', '40'],
      'params': '1.5M',
      'flops': '4.0G',
      'model': MODEL,
    },
  ],
  'notes': [],
}
COUNTS = {
  MODEL: {
    'parameters': 1_500_000,
    'multiply_adds': 2 * 10**9,
    'executed': 10**9,
  }
}


def test_published_rows_are_whole():
  for table in DATA['tables']:
    for row in table['rows']:
      assert len(row['values']) == len(table['columns']), row
      assert row.get('model', MODEL) in published_models.NAMES
      assert all(0 <= i < len(table['notes']) for i in row.get('notes', []))
      tasks = {task for *_, task in table.get('metrics', {}).values()} - {''}
      for task in tasks if '<task>' in row.get('config', '') else ['']:
        config = row.get('config', '').replace('<task>', str(task))
        name = config.removeprefix('configs/').replace('.py', '')
        assert not config or published_models.config_of(name) == config
    noted = {i for row in table['rows'] for i in row.get('notes', [])}
    assert noted == set(range(len(table['notes']))), table['title']


def test_recorded_counts_agree_with_the_papers_or_have_a_footnote():
  rows = (row for table in DATA['tables'] for row in table['rows'])
  assert set(DATA['counted']) == {
    row['model'] for row in rows if 'model' in row
  }
  assert not paper_tables.drifts(
    DATA['tables'], DATA['counted'], DATA['counted']
  )


@pytest.mark.parametrize(
  'model, gflops',
  [('perceiver_io/optical_flow:1024x16', 985.69), (MODEL, 2 * 3.219262208)],
)
def test_counts(model, gflops):
  counts = paper_tables.count(model)
  assert counts == DATA['counted'][model]
  assert counts['multiply_adds'] * 2e-9 == pytest.approx(gflops, rel=1e-3)


@pytest.mark.full
@pytest.mark.parametrize(
  'model',
  [
    *('baselines/bert:base', 'perceiver_io/audioset:raw'),
    'paca_vit/ade20k:upernet_tiny_p2cconv_100_0',
  ],
)
def test_one_trace_of_loops_counts_what_the_model_computes(model):
  counts = paper_tables.count(model)
  variables = published_models.variables(model)
  made = published_models.model(model)
  apply = functools.partial(made.module.apply, **made.kwargs)
  executed = cost.multiply_adds(apply, variables, *made.args)
  assert counts['executed'] == executed
  assert counts['parameters'] == cost.num_params(variables['params'])


def test_drifts_are_found():
  assert not paper_tables.drifts([TABLE], COUNTS, COUNTS)
  more = {MODEL: COUNTS[MODEL] | {'executed': 10**9 + 1}}
  assert MODEL in paper_tables.drifts([TABLE], COUNTS, more)[0]
  assert MODEL in paper_tables.drifts([], {}, COUNTS)[0]
  wrong = {MODEL: COUNTS[MODEL] | {'parameters': 1_520_000}}
  (problem,) = paper_tables.drifts([TABLE], wrong, wrong)
  assert 'Ours, params: counted 1,520,000, published 1.5M' in problem
  noted = TABLE | {'rows': [TABLE['rows'][1] | {'notes': [0]}]}
  assert not paper_tables.drifts([noted], wrong, wrong)
  # Here a multiply-add is one operation, elsewhere two.
  (problem,) = paper_tables.drifts([TABLE | {'macs': True}], COUNTS, COUNTS)
  assert 'flops' in problem


def result(date, imported, accuracy, config=None):
  return {
    'date': date,
    'config': config or published_models.config_of(MODEL),
    'weights': f'weights/{date}',
    'imported': imported,
    'command': f'python eval.py {date}',
    'metrics': {'validation/accuracy': accuracy},
  }


def test_ported_and_trained_are_kept_apart_and_the_latest_counts():
  results = [
    result('2026-01-01T00', True, 0.5),
    result('2026-01-02T00', True, 0.808),
    result('2026-01-03T00', False, 0.25),
    result('2026-01-04T00', False, 0.75, config='configs/other.py'),
  ]
  table = paper_tables.fill(TABLE, COUNTS, results)
  theirs, ours = table['rows']
  assert theirs['counted'] == theirs['ported'] == theirs['trained_here'] == {}
  assert ours['published'] == {
    'Top-1': '81.0',
    'AP': '40',
    'params': '1.5M',
    'flops': '4.0G',
  }
  assert ours['counted']['flops'] == 4 * 10**9
  assert ours['ported']['Top-1'] == {
    'value': pytest.approx(80.8),
    'date': '2026-01-02T00',
    'weights': 'weights/2026-01-02T00',
    'command': 'python eval.py 2026-01-02T00',
  }
  assert ours['trained_here']['Top-1']['value'] == 25
  text = paper_tables.markdown(table)
  row = next(line for line in text.splitlines() if line.startswith('| Ours'))
  cells = [cell.strip() for cell in row.strip('|').split('|')]
  assert cells == [
    *('Ours', '81.0', '40', '1.5M', '1.50M', '4.0G', '4.0G', '2.0G'),
    *('Top-1 80.80 [1]', 'Top-1 25.00 [2]'),
    f'`{published_models.config_of(MODEL)}`',
  ]
  assert '[1] 2026-01-02, weights `weights/2026-01-02T00`: `python' in text
  assert '| Theirs | 80.0 |  |  |  |' in text


def test_eval_writes_what_is_read(tmp_path):
  results.write_results(
    str(tmp_path / 'run'),
    config='configs/x.py:y',
    weights='weights',
    imported=True,
    command='python eval.py',
    metrics={'test/accuracy': 0.5},
    about={},
  )
  (found,) = paper_tables.read_results(str(tmp_path / '*' / 'results.json'))
  assert found['metrics'] == {'test/accuracy': 0.5}
  assert found['date'].endswith('+00:00')
  metrics = {
    'Top-1': ['test/accuracy', 100, 'y'],
    'AP': ['test/accuracy', 1, ''],  # of all tasks together
  }
  row = TABLE['rows'][0] | {'config': 'configs/x.py:<task>'}
  table = TABLE | {'metrics': metrics, 'rows': [row]}
  (row,) = paper_tables.fill(table, {}, [found])['rows']
  assert {k: x['value'] for k, x in row['ported'].items()} == {'Top-1': 50}


SIZES = {
  'columns': ['latents', 'masked', 'rates', 'width', 'optimizer'],
  'here': {
    'latents': 'sizes.latents.0',
    'masked': 'config.data.preprocess.mask_rate',
    'rates': 'config.optim.schedule.lr',
    'width': 'sizes.latents.1',
    'optimizer': 'config.optim.name',
  },
}
BYTES = {
  'name': 'Bytes',
  'values': ['256', '15%', '0.1, 0.00125', '', 'LAMB'],
  'model': 'perceiver_io/masked_language_modelling:base_bytes',
}


def test_sizes_and_options_are_compared_with_ours():
  table = TABLE | SIZES | {'rows': [BYTES], 'metrics': {}}
  counts = {BYTES['model']: COUNTS[MODEL] | {'sizes': {'latents': [256, 1280]}}}
  assert not paper_tables.drifts([table], counts, counts)
  text = paper_tables.markdown(paper_tables.fill(table, counts, []))
  assert '| Bytes | 256 | 15% | 0.1, 0.00125 | (here 1,280) | LAMB |' in text
  wrong = BYTES | {'values': ['2,560', '1%', '0.1', '', 'AdamW']}
  table = table | {'rows': [wrong]}
  problems = paper_tables.drifts([table], counts, counts)
  assert len(problems) == 4
  assert 'Bytes, latents: here 256, published 2,560, and no' in problems[0]
  text = paper_tables.markdown(paper_tables.fill(table, counts, []))
  assert '| 2,560 (here 256) | 1% (here 0.15) |' in text
  noted = table | {'rows': [wrong | {'notes': [0]}]}
  assert not paper_tables.drifts([noted], counts, counts)


def test_sizes_are_those_of_the_arrays_that_attention_gets():
  assert published_models.sizes(BYTES['model']) == {
    'hidden': [1280],
    'inputs': [2048, 768],
    'latents': [256, 1280],
    'queries': [2048, 768],
    'query_hidden': [768],
  }
  pooled = published_models.sizes('perceiver_io/imagenet:original_fourier')
  assert pooled['inputs'] == [224 * 224, 3 + 258] and 'queries' not in pooled
  flow = published_models.sizes('perceiver_io/optical_flow:conv_light')
  assert flow['hidden'] == [512]  # its outputs have hidden channels, too
  assert published_models.sizes('baselines/bert:bytes') == {}


def test_imported_weights_are_told_from_trained_ones(tmp_path):
  config = linear_task.get_config()
  assert not trained.is_imported(config, str(tmp_path))
  config.init_from.path = 'weights'
  assert trained.is_imported(config, str(tmp_path))
  (tmp_path / 'checkpoints').mkdir()
  assert not trained.is_imported(config, str(tmp_path))
