"""Each evaluator has a folder of its own, in which no other writes."""

import types

import ml_collections
import PIL.Image

from train_lib import evaluators, pictures


def make_evaluator(config, *, task, mesh, folder):
  """Of this file as an evaluator: draws in its colour."""
  del task, mesh
  album = pictures.Album(folder, config.color)

  def run(state):
    album.write(state.step, [(PIL.Image.new('RGB', (2, 2), config.color), '')])
    return {'value': float(len(config.color))}

  return types.SimpleNamespace(run=run)


def test_two_of_a_kind_do_not_overwrite_each_other(tmp_path):
  config = ml_collections.ConfigDict(
    dict(
      data=dict(module='none', preprocess={}),
      evals={
        name: dict(module=__name__, color=color, data=dict(split='test'))
        for name, color in (('first', 'red'), ('second', 'blue'))
      },
    )
  )
  made = evaluators.make(config, None, None, str(tmp_path))
  state = types.SimpleNamespace(step=3)
  found = evaluators.run(made, ['second', 'first'], state)
  assert found == {'second/value': 4.0, 'first/value': 3.0}
  for name, color in (('first', (255, 0, 0)), ('second', (0, 0, 255))):
    path = tmp_path / 'pictures' / name / '0000003_0.png'
    assert PIL.Image.open(path).getpixel((0, 0)) == color
