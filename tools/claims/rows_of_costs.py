"""Claims on operations, memory and time."""

from tools.claims.claim import (
  IN_PART,
  NOT,
  Claim,
  Found,
  Judgement,
  verdict,
)
from tools.claims.figures import counted, exponent

_SURVEY = 'the survey that this project follows'
_PACA, _IO = 'PaCa-ViT, section 3', 'Perceiver IO, section 3'
FULL, PACA_64, PACA_100 = (
  'full, all logits',
  'PaCa, 64 clusters',
  'PaCa, 100 clusters',
)


def pairs(found: Found) -> Judgement:
  values = found['interactions']
  full, paca = values['full']['pairs'], values['64 clusters']['pairs']
  return Judgement(
    verdict((full, paca) == (38_416, 12_544)),
    f'{full:,} and {paca:,} pairs of 196 patches and of 64 clusters',
  )


def fewer_operations(found: Found) -> Judgement:
  values = found['interactions']

  def ratios(part):
    full = values['full'][part]
    return [full / values[f'{m} clusters'][part] for m in (49, 64, 100)]

  products, layer = ratios('of pairs'), ratios('of the layer')
  held = 3 <= products[1] <= 4
  return Judgement(
    verdict(held and min(layer) >= 3, IN_PART if held else NOT),
    'products of queries, keys and values: '
    + '; '.join(
      f'{m} clusters {x:.2f} times fewer'
      for m, x in zip((49, 64, 100), products, strict=True)
    )
    + '. The whole layer, with its projections and the clustering: '
    + ', '.join(f'{x:.2f}' for x in layer)
    + ' times fewer',
  )


def time_at_196(found: Found) -> Judgement:
  times = found['time_of_attention']
  full, paca, more = (
    1e3 * times[f'DeiT-small, {name}']['196']
    for name in (FULL, PACA_64, PACA_100)
  )
  saved = 1 - paca / full
  return Judgement(
    verdict(saved > 0.1, IN_PART if saved > 0 else NOT),
    f'DeiT-small, forward, CPU milliseconds: full {full:.0f}, 64 clusters '
    f'{paca:.0f}, 100 clusters {more:.0f}: 64 clusters save '
    f'{100 * saved:.0f} %',
  )


def where_it_pays(found: Found) -> Judgement:
  times = found['time_of_attention']
  ratios = {int(n): times[FULL][n] / times[PACA_64][n] for n in times[PACA_64]}
  pays = [n for n in sorted(ratios) if ratios[n] > 1.1]
  text = ', '.join(f'{ratios[n]:.1f} at N = {n:,}' for n in sorted(ratios))
  return Judgement(
    verdict(bool(pays) and pays[-1] == max(ratios)),
    f'time of a block with full attention over one with 64 clusters: {text}'
    + (f'; pays from N = {pays[0]:,} on' if pays else ''),
  )


def _exponents(rows, key):
  sizes = sorted(map(int, rows))[-3:]  # where what is fixed weighs little
  return exponent(sizes, [rows[str(n)][key] for n in sizes])


def growth_of_attention(found: Found) -> Judgement:
  values = found['growth_of_attention']
  parts, held = [], True
  for name, expected in ((FULL, 2), (PACA_64, 1)):
    found_here = [
      _exponents(values[name], key)
      for key in ('multiply_adds', 'training_bytes')
    ]
    held &= all(abs(x - expected) < 0.15 for x in found_here)
    parts.append(
      f'{name}: operations N^{found_here[0]:.2f}, memory of a training step '
      f'N^{found_here[1]:.2f}'
    )
  return Judgement(verdict(held, IN_PART), '; '.join(parts))


def resolutions(found: Found) -> Judgement:
  values = found['resolutions']
  ratios = {
    name: by_size['1024'] / by_size['256'] for name, by_size in values.items()
  }
  at_1024 = values['full']['1024'] / values['PaCa']['1024']
  return Judgement(
    verdict(ratios['PaCa'] < 17 and ratios['full'] > 64),
    'PaCa-ViT-Tiny, from 256 to 1,024 pixels, 16 times the patches: '
    f'{ratios["PaCa"]:.1f} times the operations, with full attention '
    f'{ratios["full"]:.0f} times; at 1,024 full attention takes '
    f'{at_1024:.0f} times as many',
  )


def _growth_of_stage(stage):
  def judge(found: Found) -> Judgement:
    rows = found['growth_of_perceiver'][f'{stage}, all logits']
    operations = _exponents(rows, 'multiply_adds')
    memory = _exponents(rows, 'training_bytes')
    held = abs(operations - 1) < 0.1 and abs(memory - 1) < 0.1
    return Judgement(
      verdict(held, IN_PART),
      f'operations grow as the {operations:.2f}th power, memory of a training '
      f'step as the {memory:.2f}th',
    )

  return judge


def layer_of_pixels(found: Found) -> Judgement:
  values = found['layer_of_pixels']
  ratio = values['50176'] / values['512']
  return Judgement(
    verdict(ratio > 100),
    f'a layer on 512 latents {values["512"] / 1e9:.2f}, the same on 50,176 '
    f'pixels {values["50176"] / 1e9:,.0f} G multiply-adds: {ratio:,.0f} times '
    'as many',
  )


def flow_memory(found: Found) -> Judgement:
  plain, chunked = (
    found['flow_memory'][kind] / 2**30 for kind in ('plain', 'chunked')
  )
  return Judgement(
    verdict(plain > 1.3 and chunked < plain / 2),
    f'temporaries of the encoder: {plain:.2f} GiB with all logits, '
    f'{chunked:.2f} GiB in chunks, which is exact, too',
  )


def parameter_shares(found: Found) -> Judgement:
  values = found['parameter_shares']
  shares = {
    name.partition('_')[0]: 100 * x['clusterings'] / x['all']
    for name, x in values.items()
  }
  return Judgement(
    verdict(0 < min(shares.values()) and max(shares.values()) < 5),
    'clusterings hold '
    + ', '.join(f'{x:.1f} % of PaCa-{k}' for k, x in shares.items())
    + ', one for each of three stages',
  )


def reading(found: Found) -> Judgement:
  del found
  one, eight = (
    counted(f'perceiver_io/imagenet:original_{name}')['flops']
    for name in ('fourier', 'repeated')
  )
  share = (eight - one) / 7 / one
  return Judgement(
    verdict(share < 0.2),
    f'one cross-attend to the 50,176 pixels takes {share * one:.0f} of '
    f'{one:.0f} GFLOPs, {100 * share:.0f} %',
  )


ROWS = (
  Claim(
    'pairs',
    '196 patches that attend to 64 clusters make 12,544 pairs, to each other '
    '38,416.',
    f'{_PACA}; {_SURVEY}',
    '38,416 and 12,544',
    ('interactions',),
    pairs,
  ),
  Claim(
    'fewer_operations',
    'Attention to clusters takes three to four times fewer operations.',
    _SURVEY,
    '3 to 4 times',
    ('interactions',),
    fewer_operations,
  ),
  Claim(
    'time_at_196',
    'It saves time at 224 pixels, N = 196.',
    _SURVEY,
    '',
    ('time_of_attention',),
    time_at_196,
  ),
  Claim(
    'where_it_pays',
    'It saves time where there are many patches.',
    f'{_PACA}; {_SURVEY}',
    'O(N M) against O(N²)',
    ('time_of_attention',),
    where_it_pays,
  ),
  Claim(
    'growth_of_attention',
    'Full attention grows with the square of the patches, attention to '
    'clusters in proportion to them.',
    _PACA,
    'O(N²) and O(N M)',
    ('growth_of_attention',),
    growth_of_attention,
  ),
  Claim(
    'resolutions',
    'A whole PaCa-ViT grows in proportion to the patches, too.',
    _PACA,
    'O(N M)',
    ('resolutions',),
    resolutions,
  ),
  Claim(
    'encode',
    'Encoding is linear in the inputs.',
    _IO,
    'O(M N)',
    ('growth_of_perceiver',),
    _growth_of_stage('encode'),
  ),
  Claim(
    'decode',
    'Decoding is linear in the queries.',
    _IO,
    'O(O N)',
    ('growth_of_perceiver',),
    _growth_of_stage('decode'),
  ),
  Claim(
    'process',
    'Depth is cheap since layers are of latents, not of inputs.',
    _IO,
    'O(L N²)',
    ('layer_of_pixels',),
    layer_of_pixels,
  ),
  Claim(
    'flow_memory',
    'Optical flow needs memory that attention in chunks does without.',
    'computed from Perceiver IO, appendix H',
    '1.50 GB of logits',
    ('flow_memory',),
    flow_memory,
  ),
  Claim(
    'parameter_shares',
    'Clustering takes few of the parameters.',
    'follows from PaCa-ViT, section 3',
    '',
    ('parameter_shares',),
    parameter_shares,
  ),
  Claim(
    'reading',
    'To read all pixels of an image is a small part of the operations.',
    'Perceiver, table 6',
    '',
    (),
    reading,
  ),
)
