"""A strip of test images, a classifier's clusters on them, and its predictions.

  python -m tools.strip --config=configs/paca_vit/digits_on_photos.py:demo \
    --workdir=runs/demo --output=docs/images/strip.png

For any PaCa classifier whose config has an evaluator `clusters`, whose images
it takes. A column an image: the image, then where the clusters of the last
stage that has any look (`pictures.clusters`). Below is what was predicted, with
its probability, and the label where it is another one.
"""

import jax
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from absl import app, flags

from data.images import folder_examples
from tools.output import OUTPUT
from train_lib import evaluators, pictures, runtime, setup, sharding, trained

_SIDE, _GAP, _LEFT, _BOTTOM = 132, 6, 96, 26


def draw(
  images: np.ndarray,
  assignments: np.ndarray,
  probabilities: np.ndarray,
  labels: np.ndarray,
) -> PIL.Image.Image:
  """The strip.

  Args:
    images: [B, H, W, C] in any range.
    assignments: [B, M, h, w].
    probabilities: [B, K].
    labels: integers [B].
  """
  step = _SIDE + _GAP
  size = _LEFT + step * len(images), step * 2 + _BOTTOM
  picture = PIL.Image.new('RGB', size, 'white')
  pen = PIL.ImageDraw.Draw(picture)
  font = PIL.ImageFont.load_default(15)
  for row, title in enumerate(('image', 'clusters')):
    pen.text((0, row * step + _SIDE // 2 - 8), title, 'black', font)
  pen.text((0, 2 * step), 'prediction', 'black', font)
  columns = zip(images, assignments, probabilities, labels, strict=True)
  for column, (image, assignment, chances, label) in enumerate(columns):
    left = _LEFT + column * step
    plain = pictures.tile(image, _SIDE)
    for row, tile in enumerate((plain, pictures.clusters(plain, assignment))):
      picture.paste(PIL.Image.fromarray(tile), (left, row * step))
    pen.text((left, 2 * step), caption(chances, int(label)), 'black', font)
  return picture


def caption(probabilities: np.ndarray, label: int) -> str:
  """'3 (98%)', or '3 (60%), is 5'."""
  found = int(probabilities.argmax())
  text = f'{found} ({probabilities[found]:.0%})'
  return text if found == label else f'{text}, is {label}'


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  runtime.initialize()
  config = runtime.CONFIG.value
  section = evaluators.sections(config)['clusters']
  batch = folder_examples.load(section)
  mesh = sharding.make_mesh(config.mesh)
  task, state = trained.load(
    config,
    runtime.WORKDIR.value,
    mesh,
    setup.evaluation_batch(config),
    trained.BEST.value,
  )
  predict = sharding.jit_everywhere(mesh, task.predict)
  outputs = predict(state.eval_variables, batch)
  picture = draw(
    batch['image'],
    list(outputs['cluster_maps'].values())[-1],
    np.asarray(jax.nn.softmax(outputs['logits'])),
    batch['label'],
  )
  picture.save(OUTPUT.value)
  print(OUTPUT.value)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir', 'output'])
  app.run(main, flags_parser=runtime.parse_flags)
