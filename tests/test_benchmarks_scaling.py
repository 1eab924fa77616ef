"""Exponents of multiply-adds, from traced programs: nothing is compiled."""

import pytest

from benchmarks import scaling, scaling_report
from perceiver_io import models


def test_exponent_is_that_of_the_upper_half():
  sizes = [1, 4, 16, 64, 256]
  values = [9, 9, 5 * 16**1.5, 5 * 64**1.5, 5 * 256**1.5]
  assert scaling_report.exponent(sizes, values) == pytest.approx(1.5)
  assert list(scaling_report.upper_half(sizes)) == [False] * 2 + [True] * 3


@pytest.mark.parametrize(
  'curve, least, most',
  [
    (scaling.PERCEIVER['encode, all logits'], 0.99, 1.01),
    (scaling.PERCEIVER['encode, chunked'], 0.99, 1.01),
    (scaling.PERCEIVER['decode, all logits'], 0.99, 1.01),
    (scaling.BLOCKS['PaCa, 64 clusters'], 0.99, 1.01),
    (scaling.BLOCKS['PaCa, 100 clusters'], 0.99, 1.01),
    (scaling.BLOCKS['full, all logits'], 1.9, 2.0),
  ],
)
def test_exponents(curve, least, most):
  sizes = [curve.sizes[i] for i in (0, -2, -1)]
  found = [curve.make(size).multiply_adds() for size in sizes]
  assert least < scaling_report.exponent(sizes, found) < most


def test_stages_add_up_to_the_encoder():
  """So the number of inputs enters `encode` alone."""
  encoder = models.encoder(
    num_latents=scaling.NUM_LATENTS,
    latent_channels=scaling.CHANNELS,
    num_self_attends_per_block=scaling.NUM_LAYERS,
    **scaling.PLAIN,
  )
  whole = scaling.case_of(encoder, (65_536, scaling.CHANNELS))
  encode = scaling.encode(65_536, **scaling.PLAIN)
  stages = encode.multiply_adds() + scaling.process().multiply_adds()
  assert whole.multiply_adds() == stages


def test_interactions():
  found = [
    scaling.ATTENTIONS[name].interactions(196)
    for name in ('full, all logits', 'PaCa, 64 clusters', 'PaCa, 100 clusters')
  ]
  assert found == [38_416, 12_544, 19_600]


def test_tables():
  """A made-up law a quantity; what was not timed does not count."""
  rows = [
    {
      'part': 'ViT block',
      'name': name,
      'size': size,
      'multiply_adds': size**2,
      'temporary_bytes': 3 * size,
      'seconds': size**0.5 if size < 50_000 else None,
    }
    for name, curve in scaling.BLOCKS.items()
    for size in curve.sizes
  ]
  text = scaling_report.tables(rows, {}, scaling.BLOCKS, {})['blocks']
  line = next(x for x in text.splitlines() if x.startswith('| PaCa, 64'))
  cells = [cell.strip() for cell in line.strip('|').split('|')]
  assert cells[1:6] == ['N M C', '2.00', '1.00', '0.50', 'N = 36,864']
  assert cells[6:] == ['1.4 G', '0.1 MiB', '192,000.0 ms']
