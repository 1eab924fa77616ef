"""The playground's program: what it says before it serves."""

import sys

import pytest
from absl.testing import flagsaver

from configs.perceiver_io import masked_language_modelling
from tests.playground_servers import small_config
from tests.processes import ROOT
from tools.playground import __main__ as playground
from tools.playground import server
from train_lib import run_files


def test_only_this_machine_is_listened_to():
  with playground.listen(0) as listener:
    assert listener.getsockname()[0] == '127.0.0.1'
    port = listener.getsockname()[1]
    with pytest.raises(ValueError, match=f'--port: {port} cannot be used'):
      playground.listen(port)


def test_policy_is_of_the_pages_own_script():
  page = '<style>a {}</style><script>b()</script>'
  policy = server.content_policy(page)
  assert policy != server.content_policy(page.replace('b()', 'c()'))
  assert policy != server.content_policy(page.replace('a {}', 'c {}'))


def run_program(**flags):
  """Until it would serve: what stops it before is its SystemExit."""
  with flagsaver.flagsaver():
    playground.flags.FLAGS([sys.argv[0]])
    for name, value in ({'config': None} | flags).items():
      if value is not None:
        setattr(playground.flags.FLAGS, name, value)
    playground.main(['playground'])


@pytest.mark.parametrize(
  'module, text',
  [
    ('perceiver_io.tasks.arrays', 'predict.py predicts for it'),
    ('perceiver_io.tasks.behavioural_cloning', 'predict.py predicts for it'),
    ('paca_vit.tasks.video_classification', 'the page cannot show paca_vit'),
  ],
)
def test_tasks_that_cannot_be_shown_are_named(tmp_path, module, text):
  config = small_config()
  config.task.module = module
  run_files.write(str(tmp_path), config, None, 'a config')
  with pytest.raises(SystemExit, match=text) as stopped:
    run_program(workdir=str(tmp_path))
  assert module in str(stopped.value) and '\n' not in str(stopped.value)


def test_no_run_is_one_line(tmp_path):
  with pytest.raises(SystemExit, match='^--workdir: expected the folder of a'):
    run_program(workdir=str(tmp_path))


def test_a_model_that_does_not_come_along_is_one_line():
  with pytest.raises(SystemExit, match="^--model: found 'cats', expected one"):
    run_program(model='cats')


def test_runs_side_by_side_take_the_same(tmp_path):
  config = masked_language_modelling.get_config('tiny')
  run_files.write(str(tmp_path / 'words'), config, None, 'a config')
  run_files.write(str(tmp_path / 'digits'), small_config(), None, 'a config')
  with pytest.raises(SystemExit) as stopped:
    run_program(workdir=f'{tmp_path}/words,{tmp_path}/digits')
  assert str(stopped.value) == (
    '--workdir: digits takes picture, words blanks; expected runs that take '
    'the same.'
  )


def test_make_demo_ends_by_naming_the_command():
  recipe = (ROOT / 'Makefile').read_text().partition('\ndemo:')[2]
  *_, last = recipe.partition('\n\n')[0].splitlines()
  assert 'echo' in last and '-m tools.playground --workdir=$(DEMO)' in last
