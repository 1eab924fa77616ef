"""tools.export.quantize: what it says is lost, and what it refuses."""

import numpy as np
import pytest

from tools.export import quantize

RNG = np.random.default_rng(0)


def logits_of(labels, num_classes=4):
  """That are right, [1, ..., K]."""
  return {'logits': 5.0 * np.eye(num_classes)[np.asarray(labels) % 4][None]}


def test_accuracy_of_classes_before_and_after():
  examples = [{'label': np.int32(i % 4)} for i in range(8)]
  right = [logits_of(x['label']) for x in examples]
  wrong = [logits_of(x['label'] + (i < 2)) for i, x in enumerate(examples)]
  found = quantize.compared(examples, right, wrong)
  assert found == dict(before={'accuracy': 1.0}, after={'accuracy': 0.75})


def test_pixels_without_labels_and_tokens_that_are_not_masked_do_not_count():
  labels = np.array([[0, 1], [255, 3]])
  output = logits_of(labels)
  output['logits'][0, 1, 1] = [9, 0, 0, 0]  # one of three is wrong
  found = quantize.compared([{'label': labels}], [output], [output])
  assert found['before']['accuracy'] == pytest.approx(2 / 3)
  example = {'targets': np.array([1, 2, 3]), 'loss_mask': np.array([0, 1, 1.0])}
  found = quantize.compared(
    [example], [logits_of([0, 2, 0])], [logits_of([1, 2, 3])]
  )
  assert found == dict(before={'accuracy': 0.5}, after={'accuracy': 1.0})


def test_numbers_change_by_a_share_of_their_deviation():
  before = [{'flow': RNG.normal(0, 3, (1, 50, 50, 2))} for _ in range(4)]
  after = [{'flow': x['flow'] + 0.3 * RNG.choice([-1, 1])} for x in before]
  found = quantize.compared([{}] * 4, before, after)
  assert found['before'] == {'flow': 0.0}
  assert found['after']['flow'] == pytest.approx(0.1, rel=0.05)
  found |= dict(bytes=2**19, milliseconds={'p50': 1.0}, examples=4)
  assert 'flow changes by 0.1' in quantize.report(found)


def test_formats_without_such_a_tool_are_refused():
  for name in ('stablehlo', 'safetensors'):
    with pytest.raises(ValueError, match=f'--parameters=int8: .*={name}, exp'):
      quantize.check_format(name)
