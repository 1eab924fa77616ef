"""Claims on parameters and operations of the published models, as counted.

The counts are those of tools/published.json; `python -m tools.paper_tables
--check` makes them again.
"""

from tools.claims.claim import (
  HOLDS,
  IN_PART,
  NOT,
  Claim,
  Found,
  Judgement,
  verdict,
)
from tools.claims.figures import counted, published


def _cross_attends(found: Found) -> Judgement:
  del found
  one, eight = (
    counted(f'perceiver_io/imagenet:original_{name}')['flops']
    for name in ('fourier', 'repeated')
  )
  return Judgement(
    verdict(abs(eight - one - 303) < 3),
    f'{eight:.1f} - {one:.1f} = {eight - one:.1f} GFLOPs, '
    f'{100 * (eight / one - 1):.0f} % more',
  )


def _sharing(found: Found) -> Judgement:
  del found
  shared, own = (
    counted(f'perceiver_io/imagenet:original_{name}')
    for name in ('repeated', 'unshared')
  )
  same = shared['flops'] == own['flops']
  return Judgement(
    verdict(same and own['parameters'] > 7 * shared['parameters']),
    f'{shared["parameters"]:.1f}M and {own["parameters"]:.1f}M parameters, '
    f'{own["parameters"] / shared["parameters"]:.1f} times; operations the '
    f'same, {shared["flops"]:.0f}G',
  )


def _bytes(found: Found) -> Judgement:
  values = {k: v / 1e9 for k, v in found['bytes_operations'].items()}
  perceiver = values['Perceiver IO, 2048 bytes']
  tokens, of_bytes = (
    values[f'BERT Base, {x}'] for x in ('512 tokens', '2048 bytes')
  )
  return Judgement(
    verdict(abs(perceiver / tokens - 1) < 0.1),
    f'G multiply-adds: BERT Base on 512 tokens {tokens:.0f}, Perceiver IO on '
    f'2,048 bytes {perceiver:.0f}; BERT Base itself would take '
    f'{of_bytes:.0f} on them, {of_bytes / perceiver:.1f} times as many',
  )


def _small_bert(found: Found) -> Judgement:
  del found
  bert = counted('baselines/bert:bytes')
  perceiver = counted('perceiver_io/masked_language_modelling:base_bytes')
  return Judgement(
    verdict(perceiver['parameters'] > 8 * bert['parameters']),
    f'{bert["parameters"]:.0f}M parameters at {bert["flops"]:.0f} GFLOPs, '
    f'Perceiver IO {perceiver["parameters"]:.0f}M at '
    f'{perceiver["flops"]:.0f}',
  )


def _entities(found: Found) -> Judgement:
  del found
  transformer = counted('baselines/entity_transformer')['flops']
  perceiver = counted('perceiver_io/starcraft')['flops']
  return Judgement(
    verdict(transformer > 3 * perceiver, IN_PART),
    f'{transformer:.2f} and {perceiver:.2f} GFLOPs: '
    f'{transformer / perceiver:.1f} times fewer',
  )


def _latents_and_width(found: Found) -> Judgement:
  del found
  values = {
    name: counted(f'perceiver_io/masked_language_modelling:{model}')['flops']
    for name, model in (
      ('128 of 1,920', 'bytes_128x1920'),
      ('256 of 1,280', 'base_bytes'),
      ('512 of 896', 'bytes_512x896'),
    )
  }
  spread = max(values.values()) / min(values.values()) - 1
  return Judgement(
    verdict(spread < 0.12, IN_PART),
    'GFLOPs: '
    + ', '.join(f'{x:.0f} for {name}' for name, x in values.items())
    + f'; they differ by {100 * spread:.0f} %',
  )


def _paca(name):
  return counted(f'paca_vit/imagenet:{name}')


def _few_clusters(found: Found) -> Judgement:
  del found
  few, many = (_paca(f'small_p2cconv_{m}') for m in ('2_0', '100_0'))
  more = many['multiply_adds'] / few['multiply_adds'] - 1
  return Judgement(
    verdict(more < 0.25),
    f'{few["multiply_adds"]:.1f}G with (2, 2, 2, 0), '
    f'{many["multiply_adds"]:.1f}G with (100, 100, 100, 0), '
    f'{100 * more:.0f} % more',
  )


def _block_wise(found: Found) -> Judgement:
  del found
  stage, block = (_paca(f'small_p2cconv_100{x}') for x in ('', '_blockwise'))
  return Judgement(
    HOLDS if block['multiply_adds'] > stage['multiply_adds'] else NOT,
    f'{block["parameters"] - stage["parameters"]:.2f}M parameters and '
    f'{block["multiply_adds"] - stage["multiply_adds"]:.2f}G multiply-adds '
    f'more, {100 * (block["multiply_adds"] / stage["multiply_adds"] - 1):.0f} '
    '% of the latter',
  )


def _teacher(found: Found) -> Judgement:
  del found
  conv, teacher = _paca('small_p2cconv_100_0'), _paca('convmixer_small_100')
  return Judgement(
    verdict(teacher['parameters'] < conv['parameters'], IN_PART),
    f'{teacher["parameters"]:.2f}M and {teacher["multiply_adds"]:.2f}G with a '
    f'teacher, {conv["parameters"]:.2f}M and {conv["multiply_adds"]:.2f}G '
    'without',
  )


def _paca_head(found: Found) -> Judgement:
  del found
  upper, paca = (
    counted(f'paca_vit/ade20k:{name}small_p2cconv_100_0')
    for name in ('upernet_', '')
  )
  ratio = upper['multiply_adds'] / paca['multiply_adds']
  return Judgement(
    verdict(ratio > 4),
    f'{paca["multiply_adds"]:.1f}G and {paca["parameters"]:.1f}M, UperNet '
    f'{upper["multiply_adds"]:.1f}G and {upper["parameters"]:.1f}M: '
    f'{ratio:.1f} times fewer multiply-adds',
  )


def _sampled_queries(found: Found) -> Judgement:
  del found
  whole = counted('perceiver_io/kinetics')['flops']
  sample = counted('perceiver_io/kinetics:training')['flops']
  return Judgement(
    verdict(whole > 20 * sample),
    f'{sample:.0f} GFLOPs in training, {whole:,.0f} for all: '
    f'{whole / sample:.0f} times fewer',
  )


def _convolution(found: Found) -> Judgement:
  del found
  pixels, conv = (
    counted(f'perceiver_io/imagenet:{x}')['flops'] for x in ('fourier', 'conv')
  )
  return Judgement(
    verdict(conv < pixels),
    f'{conv:.0f} against {pixels:.0f} GFLOPs: {100 * (1 - conv / pixels):.0f} '
    '% fewer, for a sixteenth of the inputs',
  )


def _beside(table, *rows, column='flops'):
  return ', '.join(published(table, row, column) for row in rows)


ROWS = (
  Claim(
    'cross_attends_cost',
    'Eight cross-attends instead of one add 303 GFLOPs.',
    'Perceiver IO; Perceiver, table 6',
    _beside('p-6', '1, at the start', '8, interleaved'),
    (),
    _cross_attends,
  ),
  Claim(
    'sharing_parameters',
    'Sharing weights between blocks leaves a seventh of the parameters.',
    'Perceiver, table 7',
    _beside('p-7', 'shared by the blocks', 'each its own', column='params'),
    (),
    _sharing,
  ),
  Claim(
    'bytes_operations',
    'Perceiver IO reads bytes for what BERT costs on tokens.',
    'Perceiver IO, table 1',
    _beside('io-1', 'BERT Base (ours)', 'Perceiver IO, bytes'),
    ('bytes_operations',),
    _bytes,
  ),
  Claim(
    'small_bert',
    'At the same operations a BERT on bytes is a tenth as large.',
    'Perceiver IO, table 1',
    _beside(
      'io-1',
      'BERT, matching FLOPs, bytes',
      'Perceiver IO, bytes',
      column='params',
    ),
    (),
    _small_bert,
  ),
  Claim(
    'entities_cost',
    "Perceiver IO encodes a game's entities for a third of a Transformer's "
    'operations.',
    'Perceiver IO, table 9',
    _beside('io-9', 'Transformer', 'Perceiver IO, 32 latents'),
    (),
    _entities,
  ),
  Claim(
    'latents_and_width_cost',
    'Latents can be traded for width at equal operations.',
    'Perceiver IO, table 15',
    _beside(
      'io-15',
      *('128 latents of 1,920', '256 latents of 1,280', '512 latents of 896'),
    ),
    (),
    _latents_and_width,
  ),
  Claim(
    'sampled_queries_cost',
    'Training on a sample of the queries makes large outputs affordable.',
    'Perceiver IO, section 4.3 and table 17',
    _beside('io-4', '88x, what training decodes', '88x'),
    (),
    _sampled_queries,
  ),
  Claim(
    'convolution_cost',
    'A convolution before it makes a Perceiver cheaper.',
    'Perceiver IO, table 7',
    _beside('io-7', 'Perceiver IO A, convolution', 'Perceiver IO A, Fourier'),
    (),
    _convolution,
  ),
  Claim(
    'few_clusters_cost',
    'How many clusters there are hardly matters for the cost at 224 pixels.',
    "the PaCa-ViT authors' README",
    f'{_beside("paca-clusters", "(2, 2, 2, 0)")}, '
    f'{_beside("paca-imagenet", "PaCa-Small, conv")}',
    (),
    _few_clusters,
  ),
  Claim(
    'block_wise_cost',
    'Clustering anew in each block costs more than once a stage.',
    "the PaCa-ViT authors' README",
    _beside(
      'paca-clusters',
      '(100, 100, 100, 100)',
      '(100, 100, 100, 100), in each block',
    ),
    (),
    _block_wise,
  ),
  Claim(
    'teacher_cost',
    'A clustering teacher beside the backbone costs nothing more.',
    "the PaCa-ViT authors' README",
    _beside('paca-imagenet', 'PaCa-Small, teacher', 'PaCa-Small, conv'),
    (),
    _teacher,
  ),
  Claim(
    'paca_head_cost',
    'The PaCa head segments for a fifth of what UperNet takes.',
    "the PaCa-ViT authors' README",
    _beside('paca-ade', 'PaCa head, Small, conv', 'UperNet, Small'),
    (),
    _paca_head,
  ),
)
