"""What compilation says of a step, and the table of it."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Chip:
  """Peak figures of a device, by its maker's pages.

  Attributes:
    flops: bfloat16 operations a second.
    hbm: bytes of memory.
    bandwidth: of the memory, bytes a second.
    interconnect: bytes a second that leave it, over all links together.
  """

  flops: float
  hbm: float
  bandwidth: float
  interconnect: float

  def seconds(self, flops: float, moved: float, sent: float) -> float:
    """The roofline of a step."""
    return max(
      flops / self.flops, moved / self.bandwidth, sent / self.interconnect
    )


CHIPS = {
  'v4': Chip(275e12, 32 * 2**30, 1228e9, 300e9),
  'v5e': Chip(197e12, 16 * 2**30, 819e9, 200e9),
  'v5p': Chip(459e12, 95 * 2**30, 2765e9, 600e9),
  'v6e': Chip(918e12, 32 * 2**30, 1640e9, 448e9),
}
# What the paper's figures were measured on. The interconnect is a 1,024th of
# the 340 TB/s that a pod of so many reduces. "64 TPUv3" must be chips: 64 of
# their cores could at their peak not reach ImageNet's published rate.
V3 = Chip(123e12, 32 * 2**30, 900e9, 332e9)
# Steps a second (Jaegle et al. 2021b): ImageNet on 64 TPUv3 (table 8), the
# language model (table 1) on a number of devices that the paper does not state.
PUBLISHED = {
  'perceiver_io/imagenet:fourier': 4.85,
  'perceiver_io/imagenet:learned': 4.14,
  'perceiver_io/imagenet:conv': 5.58,
  'perceiver_io/imagenet:original_fourier': 4.73,
  'perceiver_io/imagenet:original_learned': 4.16,
  'perceiver_io/imagenet:original_conv': 4.73,
  'perceiver_io/masked_language_modelling:base_bytes': 7.6,
}


@dataclasses.dataclass(frozen=True)
class Report:
  """What compilation says of a step; figures are of one device.

  Attributes:
    name, topology: of the config.
    options: that were set.
    num_devices: of the topology.
    num_params: of the model.
    arguments, temporaries: bytes of memory, in training.
    eval_memory: bytes of arguments and temporaries, in evaluation.
    flops: of the model's products, forward and backward.
    moved: bytes read and written.
    collectives: kind -> bytes of the results.
    seconds: that compiling both steps took.
  """

  name: str
  topology: str
  options: dict[str, Any]
  num_devices: int
  num_params: int
  arguments: int
  temporaries: int
  eval_memory: int
  flops: float
  moved: float
  collectives: dict[str, int]
  seconds: float

  @property
  def chip(self) -> Chip:
    return CHIPS[self.topology.split(':')[0]]

  def step_seconds(self, chip: Chip) -> float:
    # A ring passes the summands on and then the sums.
    sent = sum(
      size * (2 if kind == 'all-reduce' else 1)
      for kind, size in self.collectives.items()
    )
    return chip.seconds(self.flops, self.moved, sent)


HEADER = (
  ('config', '---'),
  ('topology', '---'),
  ('devices', '--:'),
  ('parameters', '--:'),
  ('arguments GiB', '--:'),
  ('temporaries GiB', '--:'),
  ('evaluation GiB', '--:'),
  ('of GiB', '--:'),
  ('TFLOPs', '--:'),
  ('GB moved', '--:'),
  ('collectives', '---'),
  ('roofline s', '--:'),
  ('MFU', '--:'),
  ('64 TPUv3: roofline steps/s', '--:'),
  ('published', '--:'),
  ('compiled in s', '--:'),
)


def row(r: Report) -> str:
  seconds = r.step_seconds(r.chip)
  published = PUBLISHED.get(r.name)
  v3 = f'{1 / r.step_seconds(V3):.2f}' if r.num_devices == 64 else '–'
  cells = [
    f'`{r.name}`' + ''.join(f' `{k}={v}`' for k, v in r.options.items()),
    r.topology,
    str(r.num_devices),
    f'{r.num_params / 1e6:.1f}M',
    f'{r.arguments / 2**30:.2f}',
    f'{r.temporaries / 2**30:.2f}',
    f'{r.eval_memory / 2**30:.2f}',
    f'{r.chip.hbm / 2**30:.0f}',
    f'{r.flops / 1e12:.2f}',
    f'{r.moved / 1e9:.1f}',
    '; '.join(f'{k} {v / 2**20:.1f} MiB' for k, v in r.collectives.items()),
    f'{seconds:.3f}',
    f'{r.flops / seconds / r.chip.flops:.0%}',
    v3,
    str(published or '–'),
    f'{r.seconds:.0f}',
  ]
  return '| ' + ' | '.join(cells) + ' |'


def table(reports: list[Report]) -> str:
  names, rules = zip(*HEADER, strict=True)
  lines = ['| ' + ' | '.join(names) + ' |', '| ' + ' | '.join(rules) + ' |']
  return '\n'.join(lines + [row(r) for r in reports]) + '\n'


INTRODUCTION = """# Full-size configs, compiled for TPUs

Written by `python -m tools.compile_check --output=docs/compile-check.md`, which
needs no TPU, only its compiler (`pip install -e '.[tpu-compile]'`).

Figures are of one device. *Arguments* are the state and the batch; *evaluation*
is all that its step needs: the metrics of a batch, or the predictions where an
evaluator of its own makes something of them. *TFLOPs* are those of matrix
products and convolutions, two a multiply-add, recomputation included. *GB
moved* is read and written by the compiled program's fusions, and *collectives*
are bytes of results, loops counted as often as they run. The *roofline* is the
slowest of arithmetic, memory and communication at their peaks, and *MFU* what
it implies: bounds, not measurements. Where a topology has 64 devices, the same
figures give the roofline of 64 TPUv3, beside the steps a second that the
paper publishes (for the language model without the number of devices).

PaCa-ViT is compiled at XLA's least effort, O0, in a sixth of the time. Of its
Tiny and Base, O1 changes no figure by more than 1%.

"""
