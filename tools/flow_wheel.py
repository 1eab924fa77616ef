"""Legend of the pictures of optical flow: what colour is which motion.

  python -m tools.flow_wheel --output=docs/images/flow_wheel.png

Every point of the disc has the colour of the motion from the centre to it; at
the rim it is the longest motion of a picture, the centre does not move.
"""

import numpy as np
import PIL.Image
import PIL.ImageDraw
from absl import app, flags

from data.flow import flow_io
from tools.output import OUTPUT

MARGIN = 14  # pixels around the disc, for words


def wheel(diameter: int) -> np.ndarray:
  """The disc on white, uint8 [diameter, diameter, 3]."""
  places = np.linspace(-1, 1, diameter)
  flow = np.stack(np.meshgrid(places, places), axis=-1)  # (x, y), y downwards
  inside = np.linalg.norm(flow, axis=-1, keepdims=True) <= 1
  return np.where(inside, flow_io.colours(flow, max_motion=1), 255).astype(
    np.uint8
  )


def legend(diameter: int) -> PIL.Image.Image:
  """The disc and what its four ends mean."""
  size = diameter + 2 * MARGIN
  picture = PIL.Image.new('RGB', (size, size), 'white')
  picture.paste(PIL.Image.fromarray(wheel(diameter)), (MARGIN, MARGIN))
  pen = PIL.ImageDraw.Draw(picture)
  middle = size / 2
  pen.text((middle, 0), 'up', fill='black', anchor='ma')
  pen.text((middle, size), 'down', fill='black', anchor='md')
  pen.text((MARGIN + 4, middle), 'left', fill='black', anchor='lm')
  pen.text((size - MARGIN - 4, middle), 'right', fill='black', anchor='rm')
  return picture


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  legend(240).save(OUTPUT.value)
  print(OUTPUT.value)


if __name__ == '__main__':
  flags.mark_flag_as_required('output')
  app.run(main)
