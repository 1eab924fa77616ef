"""A run's own config: derived from data, written, read again, compared."""

import json

import jax
import ml_collections
import pytest

from configs.paca_vit import finetune
from configs.perceiver_io import finetune_images, imagenet
from train_lib import run_files
from train_lib.task import make_task


def synthetic(config):
  config.data.source = 'synthetic'
  return config


def test_what_is_open_is_derived(capsys):
  config = synthetic(finetune.get_config('tiny'))
  config.data.data_dir = '/photos'
  derived, classes = run_files.derived(config)
  assert classes == ('ash', 'birch', 'cedar', 'fir')
  assert derived.model.num_classes == 4
  assert derived.num_steps == 20 * (32 // 8)
  assert derived.optim.schedule.warmup_steps == 8
  assert derived.checkpoint.every_steps == 40
  assert derived.evals.validation.every_steps == 40
  assert 'derive' not in derived and 'derive' in config
  said = capsys.readouterr().out
  assert '32 examples to train, 4 classes (ash, birch, cedar, fir)' in said
  assert '80 steps of 8, 20.0 epochs, 8 of warm-up' in said


def test_what_is_set_stays(capsys):
  config = synthetic(finetune.get_config('tiny'))
  config.num_steps, config.optim.schedule.warmup_steps = 7, 0
  config.init_from.path = '/weights'
  derived, _ = run_files.derived(config)
  assert derived.num_steps == 7 and derived.optim.schedule.warmup_steps == 0
  assert "/weights, without what ['params/head/']" in capsys.readouterr().out


def test_configs_without_the_section_are_themselves():
  config = imagenet.get_config('conv')
  assert run_files.derived(config) == (config, None)


@pytest.mark.parametrize(
  'config',
  [finetune.get_config('tiny'), finetune_images.get_config('tiny')],
  ids=['paca', 'perceiver'],
)
def test_what_is_written_is_read(tmp_path, config):
  config, classes = run_files.derived(synthetic(config))
  run_files.write(str(tmp_path / 'run'), config, classes, 'finetune.py:tiny')
  again = run_files.read_config(str(tmp_path / 'run'))
  assert run_files.differing(config, again) == []
  assert run_files.read_classes(str(tmp_path / 'run')) == classes
  assert run_files.read_file_name(str(tmp_path / 'run')) == 'finetune.py:tiny'
  assert repr(make_task(again)) == repr(make_task(config))
  kept = json.loads((tmp_path / 'run/config.json').read_text())
  assert kept['versions']['jax'] == jax.__version__


def test_differences_are_named(tmp_path, capsys):
  config, classes = run_files.derived(synthetic(finetune.get_config('tiny')))
  run_files.write(str(tmp_path), config, classes, None)
  other = config.copy_and_resolve_references()
  other.seed, other.data.preprocess.image_size = 3, 48
  chosen = run_files.config_of(other, str(tmp_path))
  assert chosen.seed == 3
  said = capsys.readouterr().out
  assert (
    "differs from the run in ['data.preprocess.image_size', 'seed']" in said
  )
  assert run_files.config_of(None, str(tmp_path)).seed == config.seed
  again = synthetic(finetune.get_config('tiny'))
  run_files.config_of(again, str(tmp_path))
  assert 'differs' not in capsys.readouterr().out  # It derives the same.


def test_run_of_another_model_keeps_its_config(tmp_path, capsys):
  config, classes = run_files.derived(synthetic(finetune.get_config('tiny')))
  (tmp_path / 'checkpoints').mkdir()
  run_files.write(str(tmp_path), config, classes, None)
  other = config.copy_and_resolve_references()
  other.model.num_classes = 9
  run_files.write(str(tmp_path), other, None, None)
  assert run_files.read_config(str(tmp_path)).model.num_classes == 4
  assert "['model.num_classes']" in capsys.readouterr().out
  longer = config.copy_and_resolve_references()
  longer.num_steps = 500
  run_files.write(str(tmp_path), longer, classes, None)
  assert run_files.read_config(str(tmp_path)).num_steps == 500


@pytest.mark.parametrize(
  'text', ['', '{', '[]', '{}', 'null', '{"config": 3}', '\udcff']
)
def test_a_damaged_config_is_named_and_does_not_hinder(tmp_path, text, capsys):
  config, classes = run_files.derived(synthetic(finetune.get_config('tiny')))
  (tmp_path / 'checkpoints').mkdir()
  path = tmp_path / 'config.json'
  path.write_bytes(text.encode(errors='surrogateescape'))
  with pytest.raises(ValueError, match=f'^--workdir: {path} is damaged'):
    run_files.config_of(None, str(tmp_path))
  assert run_files.config_of(config, str(tmp_path)) == config
  run_files.write(str(tmp_path), config, classes, None)
  assert 'It is written anew' in capsys.readouterr().out
  assert run_files.differing(run_files.read_config(tmp_path), config) == []


def test_a_config_that_was_changed_is_told(tmp_path, capsys):
  config, classes = run_files.derived(synthetic(finetune.get_config('tiny')))
  run_files.write(str(tmp_path), config, classes, None)
  capsys.readouterr()
  run_files.read_config(str(tmp_path))
  assert not capsys.readouterr().out
  text = (tmp_path / 'config.json').read_text()
  (tmp_path / 'config.json').write_text(text.replace('"seed": 0', '"seed": 1'))
  assert run_files.read_config(str(tmp_path)).seed == 1
  assert 'was changed since' in capsys.readouterr().out


def test_workdir_without_a_run(tmp_path):
  with pytest.raises(FileNotFoundError, match='--workdir: .*config.json'):
    run_files.config_of(None, str(tmp_path))
  config = ml_collections.ConfigDict({'seed': 1})
  assert run_files.config_of(config, str(tmp_path)) is config
