"""Parameters and operations of every published model; none is made or run."""

import functools

import pytest

from tools import published_models
from train_lib import cost

# Parameters, and GFLOPs at 2 a multiply-add or None. All measured on the
# reference code; the papers' own figures are rounded.
PUBLISHED = {
  'masked_language_modelling:base_bytes': (201_108_230, 120.95),
  'masked_language_modelling:base_sentencepiece': (223_155_456, 133.61),
  'masked_language_modelling:plus_plus': (425_607_430, 240.87),
  'masked_language_modelling:bytes_128x1920': (430_132_230, 127.40),
  'masked_language_modelling:bytes_512x896': (105_849_862, 134.12),
  'imagenet:learned': (62_255_848, 478.04),
  'imagenet:fourier': (48_440_627, 406.12),
  'imagenet:conv': (48_646_522, 369.36),
  'imagenet:fourier_jft': (213_082_618, 334.64),
  'imagenet:conv_jft': (212_375_930, 231.93),
  'imagenet:original_learned': (55_951_080, 475.88),
  'imagenet:original_fourier': (42_135_859, 403.97),
  'imagenet:original_conv': (42_341_754, 367.21),
  'imagenet:original_repeated': (44_912_254, None),
  'optical_flow': (41_057_134, 1886.92),
  'optical_flow:1024x16': (27_908_974, 985.69),
  'kinetics': (19_858_855, 7470.42),
  'kinetics:392': (19_658_151, None),
  'kinetics:196': (19_557_799, None),
  'audioset:raw': (24_922_462, 52.71),
  'audioset:original_raw': (20_971_870, 52.163),
}


@functools.cache
def counted(name, **options):
  """Parameters, and GFLOPs of one forward pass, from one trace."""
  name = f'perceiver_io/{name}'
  model = published_models.model(name, implementation='plain', **options)
  model = model.in_loops()
  variables, multiply_adds = cost.init_and_multiply_adds(
    model.init_with_output, *model.args
  )
  return cost.num_params(variables['params']), 2e-9 * multiply_adds


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_counts(name):
  num_params, expected = PUBLISHED[name]
  found, gflops = counted(name, fold_projections=False)
  assert found == num_params
  if expected is not None:
    assert gflops == pytest.approx(expected, rel=1e-3)


def test_a_loop_over_layers_counts_as_they_do():
  name = 'imagenet:fourier'
  model = published_models.model(
    f'perceiver_io/{name}', **published_models.PLAIN
  )
  variables = model.variables()
  apply = functools.partial(model.module.apply, **model.kwargs)
  found = cost.multiply_adds(apply, variables, *model.args)
  num_params, gflops = counted(name, fold_projections=False)
  assert cost.num_params(variables['params']) == num_params
  assert 2e-9 * found == gflops


# What folding saves, by hand, of cross-attends with one head whose keys and
# values are as wide as their C inputs: two C x C products of each input, less
# two of each query. The flow's decoder and the language models have nothing to
# fold.
@pytest.mark.parametrize(
  'name, folded',
  [
    ('imagenet:learned', [(50176, 512, 512), (512, 1, 1024)]),
    ('imagenet:fourier', [(50176, 512, 261), (512, 1, 1024)]),
    ('imagenet:conv', [(3136, 512, 322), (512, 1, 1024)]),
    ('optical_flow', [(182528, 2048, 322)]),
    ('audioset:raw', [(13024, 512, 487), (512, 1, 512)]),
    ('masked_language_modelling:base_bytes', []),
  ],
)
def test_what_folding_saves(name, folded):
  saved = 2e-9 * sum(2 * (m - n) * c**2 for m, n, c in folded)
  expected = PUBLISHED[name][1] - saved
  _, gflops = counted(name)
  assert gflops == pytest.approx(expected, rel=1e-3)
