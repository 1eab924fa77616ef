"""Claims that two computations give the same, or depend on the same."""

from tools.claims.claim import IN_PART, NOT, Claim, Found, Judgement, verdict

_SMALL = 1e-5  # of float32's rounding, relative to the largest number
_IO = 'Perceiver IO, section 3'


def in_parts(found: Found) -> Judgement:
  values = found['decoding']
  difference = values['difference in parts']
  less = values['bytes at once'] / values['bytes in parts']
  return Judgement(
    verdict(difference < _SMALL),
    f'{values["pixels"]:,} pixels at once and in {values["parts"]} parts: '
    f'they differ by {difference:.0e} of the largest; temporaries '
    f'{values["bytes at once"] / 2**20:.0f} and '
    f'{values["bytes in parts"] / 2**20:.1f} MiB, {less:.1f} times less',
  )


def of_a_sample(found: Found) -> Judgement:
  values = found['decoding']
  difference = values['difference of the sample']
  return Judgement(
    verdict(difference < _SMALL),
    f'{values["sample"]} of {values["pixels"]:,} pixels alone and among all: '
    f'they differ by {difference:.0e} of the largest',
  )


def order_of_inputs(found: Found) -> Judgement:
  values = found['permutation']
  return Judgement(
    verdict(values['Perceiver'] < _SMALL < values['ViT']),
    f'latents change by {values["Perceiver"]:.0e} of the largest; the logits '
    f'of a ViT whose pixels are permuted by {values["ViT"]:.2f}',
  )


def any_resolution(found: Found) -> Judgement:
  values = found['parameters_of_length']
  same = {name: x['196'] == x['784'] for name, x in values.items()}
  linformer = values['Linformer']
  return Judgement(
    verdict(same['PaCa, 64 clusters'] and not same['Linformer']),
    f'a block has {values["PaCa, 64 clusters"]["196"]:,} parameters for 196 '
    f'patches and for 784; with Linformer {linformer["196"]:,} and '
    f'{linformer["784"]:,}',
  )


def compression(found: Found) -> Judgement:
  values = found['compression']
  embedded, raw = (
    [x[what] / x['latents'] for x in values.values()]
    for what in ('embedded video', 'raw video and sound')
  )
  held = [round(x) for x in embedded] == [88, 176, 352]
  return Judgement(
    IN_PART if held else NOT,
    'numbers of the embedded video over those of the latents: '
    + ', '.join(f'{x:.1f}' for x in embedded)
    + '; of the video and sound themselves: '
    + ', '.join(f'{x:.1f}' for x in raw),
  )


ROWS = (
  Claim(
    'in_parts',
    'Outputs may be decoded in parts: queries do not see each other.',
    _IO,
    '',
    ('decoding',),
    in_parts,
  ),
  Claim(
    'of_a_sample',
    'A sample of the queries gives what all give at these places.',
    'Perceiver IO, section 4.3',
    '',
    ('decoding',),
    of_a_sample,
  ),
  Claim(
    'order_of_inputs',
    'A Perceiver does not know the order of its inputs.',
    'Perceiver, table 2',
    '',
    ('permutation',),
    order_of_inputs,
  ),
  Claim(
    'any_resolution',
    'No weight of a clustering depends on the number of patches.',
    'PaCa-ViT, section 3',
    '',
    ('parameters_of_length',),
    any_resolution,
  ),
  Claim(
    'compression',
    'The autoencoder compresses 88, 176 and 352 times.',
    'Perceiver IO, table 4',
    '88x, 176x, 352x',
    ('compression',),
    compression,
  ),
)
