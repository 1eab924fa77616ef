"""Claims on what models learn: small ones, three seeds, 95 % intervals.

Of a loss, less is better: it is what the other has more that is judged.
"""

import numpy as np

from tools.claims import judges
from tools.claims.claim import HOLDS, IN_PART, NOT, Claim, Found, Judgement
from tools.claims.figures import difference, interval, published

_SURVEY = 'the survey that this project follows'
_AUTHORS = "the PaCa-ViT authors' README"
_CHEAP = 'linear', 'linformer', 'local_window', 'big_bird', 'performer'
_NUMBERS = 'paca_16', 'paca_49', 'paca_64', 'paca_100'


def other_attentions(found: Found) -> Judgement:
  values, others = found['attentions'], _CHEAP
  behind = [
    name
    for name in others
    if difference(values['paca_64'], values[name]).low > 0
  ]
  ahead = [
    name
    for name in others
    if difference(values['paca_64'], values[name]).high < 0
  ]
  verdict = HOLDS if len(behind) == len(others) else NOT if ahead else IN_PART
  return Judgement(
    verdict,
    judges.listed({k: values[k] for k in ('full', 'paca_64', *others)})
    + f'. Better than {", ".join(behind) or "none"}, worse than '
    f'{", ".join(ahead) or "none"}, beyond the interval of three seeds',
  )


def best_number(found: Found) -> Judgement:
  values = found['attentions']
  delta = difference(values['paca_100'], values['paca_16'])
  return Judgement(
    judges.better(delta),
    judges.listed({name: values[name] for name in _NUMBERS})
    + f'. 100 clusters - 16: {delta}',
  )


def few_clusters(found: Found) -> Judgement:
  values = found['numbers_of_clusters']
  delta = difference(values['(16, 8)'], values['(2, 2)'])
  return Judgement(
    judges.better(delta), f'{judges.listed(values)}. (16, 8) - (2, 2): {delta}'
  )


def permuted(found: Found) -> Judgement:
  values = found['permuted']
  costs = {
    name: difference(values[name], values[f'{name}, permuted'])
    for name in values
    if f'{name}, permuted' in values
  }
  perceiver = costs['Perceiver, learned positions']
  others = [costs['convolution'], costs['ViT']]
  lost = all(x.low > 0 for x in others)
  unharmed = perceiver.low <= 0
  verdict = HOLDS if lost and unharmed else IN_PART if lost or unharmed else NOT
  return Judgement(
    verdict,
    'permuting all images alike costs: '
    + '; '.join(
      f'{name} {cost} of {interval(values[name]).mean:.3f}'
      for name, cost in costs.items()
    ),
  )


def cluster_labels(found: Found) -> Judgement:
  probes = found['cluster_labels']['probes']['brain']
  shares = {
    name: interval([probe[name] for probe in probes]) for name in probes[0]
  }
  stages = sorted({name.partition(',')[0] for name in shares})
  verdicts = set()
  for stage in stages:
    trained = [probe[f'{stage}, trained'] for probe in probes]
    of_stage = [
      judges.better(
        difference(trained, [p[f'{stage}, {other}'] for p in probes])
      )
      for other in ('untrained', 'dealt at random')
    ]
    verdicts.add(max(of_stage, key=(HOLDS, IN_PART, NOT).index))
  verdict = verdicts.pop() if len(verdicts) == 1 else IN_PART
  return Judgement(
    verdict,
    "share of the tissues' entropy that a patch's cluster tells: "
    + '; '.join(f'{name} {x}' for name, x in sorted(shares.items())),
  )


def latents_and_width(found: Found) -> Judgement:
  values = found['latents_and_width']
  few = next(iter(values))
  best = max(values, key=lambda name: np.mean(values[name]))
  delta = difference(values[best], values[few])
  verdict = judges.better(delta) if best != few else NOT
  return Judgement(verdict, f'{judges.listed(values)}. {best} - {few}: {delta}')


def _beside(table, column, *rows):
  return ', '.join(f'{row} {published(table, row, column)}' for row in rows)


ROWS = (
  Claim(
    'as_good_as_full',
    'At equal budget a ViT whose patches attend to clusters is within 1 to 2 % '
    'of one with full attention.',
    _SURVEY,
    '1 to 2 %',
    ('attentions',),
    judges.compared(
      'attentions',
      'paca_64',
      'full',
      lambda delta: judges.no_worse(delta, 0.02),
      judges.LINEAR,
    ),
  ),
  Claim(
    'other_attentions',
    'It is better than other attentions of linear cost.',
    _SURVEY,
    '',
    ('attentions',),
    judges.if_learned(
      'attentions', ('paca_64', *_CHEAP), other_attentions, judges.LINEAR
    ),
  ),
  Claim(
    'best_number',
    'In a plain ViT more clusters are better.',
    _SURVEY,
    '',
    ('attentions',),
    judges.if_learned('attentions', _NUMBERS, best_number, judges.LINEAR),
  ),
  Claim(
    'few_clusters',
    'Two clusters a stage are almost enough, more are better.',
    _AUTHORS,
    _beside('paca-clusters', 'Top-1', '(2, 2, 2, 0)', '(49, 49, 49, 0)')
    + f', {published("paca-imagenet", "PaCa-Small, conv", "Top-1")} with 100',
    ('numbers_of_clusters',),
    few_clusters,
  ),
  Claim(
    'permuted',
    'Permuting the pixels of all images costs a convolution and a ViT much, '
    'and a Perceiver with learned positions nothing.',
    'Perceiver, table 2',
    '; '.join(
      f'{row} {published("p-1", row, "Top-1")} and '
      f'{published("p-1", row, "Top-1, permuted")}'
      for row in (
        *('ResNet-50 (FF)', 'ViT-B/16 (FF)', 'Perceiver (FF)'),
        'Perceiver, learned positions',
      )
    ),
    ('permuted',),
    permuted,
  ),
  Claim(
    'learned_clusters',
    'Learned clusters are better than centroids.',
    _SURVEY,
    '',
    ('clusterings',),
    judges.compared(
      'clusterings', 'learned', 'centroids by k-means', judges.better
    ),
  ),
  Claim(
    'kmeans',
    'Centroids that k-means starts are better than random ones.',
    _SURVEY,
    '',
    ('clusterings',),
    judges.compared(
      'clusterings', 'centroids by k-means', 'centroids', judges.better
    ),
  ),
  Claim(
    'cluster_labels',
    'Clusters specialise: they come to mean something that nobody named.',
    'PaCa-ViT, section 3',
    '',
    ('cluster_labels',),
    cluster_labels,
  ),
  Claim(
    'block_wise',
    'One clustering a stage is as good as one a block.',
    _AUTHORS,
    _beside(
      'paca-clusters',
      'Top-1',
      '(100, 100, 100, 100)',
      '(100, 100, 100, 100), in each block',
    ),
    ('block_wise',),
    judges.compared(
      'block_wise',
      'once a stage',
      'in each block',
      lambda delta: judges.no_worse(delta, 0.01),
    ),
  ),
  Claim(
    'cross_attends',
    'Eight cross-attends are better than one.',
    'Perceiver, table 6',
    _beside('p-6', 'Top-1', '1, at the start', '8, interleaved'),
    ('cross_attends',),
    judges.compared('cross_attends', '8', '1', judges.better),
  ),
  Claim(
    'sharing',
    'Blocks that share their weights are better than blocks that do not.',
    'Perceiver, table 7',
    _beside('p-7', 'Top-1', 'shared by the blocks', 'each its own'),
    ('sharing',),
    judges.compared('sharing', 'shared', 'each its own', judges.better),
  ),
  Claim(
    'latents_and_width',
    'At equal operations, few wide latents are worse than more narrow ones.',
    'Perceiver IO, table 15',
    _beside(
      'io-15',
      'Average',
      *('128 latents of 1,920', '256 latents of 1,280', '512 latents of 896'),
    ),
    ('latents_and_width',),
    latents_and_width,
  ),
  Claim(
    'sampled_queries',
    'An autoencoder trained on a sample of its queries is as good as on all.',
    'Perceiver IO, section 4.3',
    '',
    ('sampled_queries',),
    judges.compared(
      'sampled_queries',
      '64 of 3,136 pixels',
      '3,136 of 3,136 pixels',
      lambda delta: judges.no_worse(delta, 0.5),
    ),
  ),
  Claim(
    'flow_queries',
    "Flow is better decoded by queries that have the first frame's features.",
    'Perceiver IO, section 4.2 and appendix H',
    '',
    ('flow_queries',),
    judges.compared(
      'flow_queries',
      'positions alone',
      'with features',
      judges.better,
      judges.NO_MOTION,
    ),
  ),
  Claim(
    'entities',
    'With the cheaper encoder of entities a policy is as good as a '
    "Transformer's.",
    'Perceiver IO, table 9',
    _beside('io-9', 'Win rate', 'Transformer', 'Perceiver IO, 32 latents'),
    ('entities',),
    judges.compared(
      'entities',
      'Perceiver IO',
      'Transformer',
      lambda delta: judges.no_worse(delta, 0.01),
      judges.FREQUENT_MOVE,
    ),
  ),
  Claim(
    'bytes',
    'On bytes Perceiver IO learns more than a BERT of as many operations.',
    'Perceiver IO, table 1',
    _beside(
      'io-1',
      'Average',
      *('Perceiver IO, bytes', 'BERT, matching FLOPs, bytes'),
    ),
    ('bytes',),
    judges.compared(
      'bytes', 'BERT', 'Perceiver IO', judges.better, judges.FREQUENT_BYTES
    ),
  ),
)
