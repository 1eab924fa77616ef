"""Published weights in, and out again under the published names.

  python -m tools.convert_weights --weights=language_perceiver_io_bytes.pickle \
    --output=weights/bytes
  python -m tools.convert_weights --checkpoint=weights/bytes \
    --names=hugging_face --output=model.safetensors

In: DeepMind's Haiku pickles; Hugging Face's Perceivers, model.safetensors or
pytorch_model.bin; the PaCa-ViT authors' .pth. Which it is, and of which model,
is seen in the file. Of what training programs save, --weights_key names the
weights; what wrappers put before all names (`module.`, `_orig_mod.`, `model.`)
is left out and told. For a model of other sizes --config names ours. The result
is what --config.init_from.path of train.py and eval.py takes.

Out: --names=haiku writes a pickle, hugging_face safetensors, pacavit a PyTorch
file, as do pacavit_segmentation and pacavit_detection.

Nothing in a file is executed: one that holds anything but arrays and plain
containers is refused by the name of what it holds. --ignore=that.name reads it
as nothing, for what training programs save beside the weights.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from absl import app, flags

from paca_vit import names as paca_names
from paca_vit.detection import names as detection_names
from perceiver_io import names as perceiver_names
from perceiver_paca.weights import files, torch_files
from tools import made_up, published_models
from tools.output import OUTPUT
from train_lib import batch_layout, runtime, setup, stacking, weights

PyTree = Any

WEIGHTS = flags.DEFINE_string('weights', None, 'Published file to read.')
CHECKPOINT = flags.DEFINE_string(
  'checkpoint', None, 'Checkpoint, or workdir of a run, to write.'
)
IGNORE = flags.DEFINE_multi_string('ignore', [], 'Names to read as nothing.')
WEIGHTS_KEY = flags.DEFINE_string(
  'weights_key', None, 'What the weights are called in the file: model_ema.'
)
SWAPPED = flags.DEFINE_bool(
  'swapped_convolution',
  None,
  "Whether Hugging Face's 7x7 kernels are stored [out, in, W, H], as their "
  "converter left those of DeepMind's.",
)


class Naming(NamedTuple):
  """A way to name weights.

  Attributes:
    pattern: found in a name of every such file, and in no other.
    models: names of the published models, see `published_models`.
    import_: maps tensors, variables and whether 7x7 kernels are swapped to
      variables.
    export: maps variables to tensors.
    save: writes variables to a path.
  """

  pattern: str
  models: tuple[str, ...]
  import_: Callable[[Mapping[str, np.ndarray], PyTree, bool | None], PyTree]
  export: Callable[[PyTree], dict[str, Any]]
  save: Callable[[str, PyTree], None]


def _to_haiku(variables):
  params, state = perceiver_names.to_haiku(variables)
  return {**params, **state}


def _from_state_dict(names):
  """PyTorch's kernels lie one way."""
  return lambda tensors, variables, swapped: names.from_state_dict(
    tensors, variables
  )


def _named(prefix):
  """The published models whose names begin so."""
  return tuple(
    name for name in published_models.NAMES if name.startswith(prefix)
  )


# Whose weights were published.
_PERCEIVERS = (
  'perceiver_io/masked_language_modelling:base_bytes',
  'perceiver_io/imagenet:fourier',
  'perceiver_io/imagenet:learned',
  'perceiver_io/imagenet:conv',
  'perceiver_io/optical_flow',
  'perceiver_io/kinetics',
)
NAMINGS = {
  'haiku': Naming(
    pattern=re.escape(perceiver_names.HAIKU),
    models=_PERCEIVERS,
    import_=perceiver_names.from_published,
    export=_to_haiku,
    save=lambda path, v: files.save_haiku(path, *perceiver_names.to_haiku(v)),
  ),
  'hugging_face': Naming(
    pattern='^' + re.escape(perceiver_names.HUGGING_FACE),
    models=_PERCEIVERS,
    import_=perceiver_names.from_published,
    export=perceiver_names.to_hugging_face,
    save=lambda path, v: files.save_safetensors(
      path, perceiver_names.to_hugging_face(v)
    ),
  ),
  'pacavit': Naming(
    pattern=r'^patch_embed\.proj\.',
    models=_named('paca_vit/imagenet:'),
    import_=_from_state_dict(paca_names),
    export=paca_names.to_state_dict,
    save=lambda path, v: torch_files.save(path, paca_names.to_state_dict(v)),
  ),
}
# The same names, after those of mmsegmentation's parts.
NAMINGS['pacavit_segmentation'] = NAMINGS['pacavit']._replace(
  pattern=r'^decode_head\.',
  models=_named('paca_vit/ade20k:'),
)
# And after those of mmdetection's.
NAMINGS['pacavit_detection'] = Naming(
  pattern=r'^roi_head\.',
  models=_named('paca_vit/coco:'),
  import_=_from_state_dict(detection_names),
  export=detection_names.to_state_dict,
  save=lambda path, v: torch_files.save(path, detection_names.to_state_dict(v)),
)
NAMES = flags.DEFINE_enum('names', None, list(NAMINGS), 'Names to write.')


def naming_of(tensors: Mapping[str, np.ndarray]) -> str:
  """Whose names a file has: a key of NAMINGS.

  Raises:
    ValueError: nobody's whom we know.
  """
  for key, naming in NAMINGS.items():
    if any(re.search(naming.pattern, name) for name in tensors):
      return key
  raise ValueError(
    f"The names are neither DeepMind's, Hugging Face's nor PaCa-ViT's, such as "
    f'{sorted(tensors)[:3]}.'
  )


def identify(tensors: Mapping[str, np.ndarray], naming: str) -> str:
  """The published model whose names and shapes are most like a file's."""
  found = {name: tuple(x.shape) for name, x in tensors.items()}
  untrained = ('num_batches_tracked', 'blur_filter')
  best, fewest = None, None
  for model in NAMINGS[naming].models:
    expected = jax.eval_shape(
      NAMINGS[naming].export, published_models.variables(model)
    )
    expected = {name: tuple(x.shape) for name, x in expected.items()}
    differences = sum(
      not name.endswith(untrained)
      for name, _ in found.items() ^ expected.items()
    )
    if fewest is None or differences < fewest:
      best, fewest = model, differences
    if differences == 0:
      break
  return best


def variables_of(
  config: ml_collections.ConfigDict, names: Collection[str] = ()
) -> PyTree:
  """Shapes of a config's variables, layers one by one; reads no data set.

  Args:
    config: of a run.
    names: of the variables, if they are known; see `made_up.example`.
  """
  batch = batch_layout.batch_spec(made_up.example(config, names))
  state = setup.make_setup(config, batch=batch).state
  return jax.eval_shape(stacking.unstacked, state.variables)


def import_weights(
  path: str,
  output: str,
  expected: PyTree | None = None,
  ignore: tuple[str, ...] = (),
  swapped_convolution: bool | None = None,
  weights_key: str | None = None,
) -> str:
  """Makes a checkpoint of a published file.

  Args:
    path: of the file.
    output: of the checkpoint, a new folder.
    expected: the variables' shapes; None for those of the published model that
      fits best.
    ignore: see `pickles.load`.
    weights_key: see `files.load`.
    swapped_convolution: see the flag; needed if Hugging Face's file has one.

  Returns:
    The published model, or '' if its shapes were given.

  Raises:
    ValueError: the file is not safe, not known or of another model; everything
      that does not fit is listed.
  """
  tensors = files.load(path, ignore, weights_key=weights_key, say=print)
  try:
    naming = naming_of(tensors)
  except ValueError as e:
    raise ValueError(f'{path}: {e}') from None
  model = ''
  if expected is None:
    model = identify(tensors, naming)
    expected = published_models.variables(model)
  try:
    variables = NAMINGS[naming].import_(tensors, expected, swapped_convolution)
  except ValueError as e:
    what = model or 'the model of --config'
    raise ValueError(
      f'{path}, named as by {naming}, against {what}: {e}'
    ) from e
  weights.save_variables(output, variables)
  return model


def export_weights(path: str, output: str, names: str) -> None:
  """Writes a checkpoint's variables under published names.

  Args:
    path: of the checkpoint, or of a run's workdir. Parameters are written, not
      their moving average.
    output: of the file.
    names: a key of NAMINGS.

  Raises:
    ValueError: naming the variables that have no such name.
  """
  NAMINGS[names].save(output, weights.read_variables(path))


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  if (WEIGHTS.value is None) == (CHECKPOINT.value is None):
    raise app.UsageError('Expected either --weights or --checkpoint.')
  if CHECKPOINT.value and not NAMES.value:
    raise app.UsageError('--checkpoint: expected --names, too.')
  if os.path.exists(OUTPUT.value):
    raise app.UsageError(f'--output: {OUTPUT.value} exists already.')
  runtime.initialize()
  try:
    if CHECKPOINT.value:
      export_weights(CHECKPOINT.value, OUTPUT.value, NAMES.value)
      print(OUTPUT.value)
      return
    model = import_weights(
      WEIGHTS.value,
      OUTPUT.value,
      variables_of(runtime.CONFIG.value) if runtime.CONFIG.value else None,
      tuple(IGNORE.value),
      SWAPPED.value,
      WEIGHTS_KEY.value,
    )
  except (ValueError, OSError) as e:
    raise SystemExit(' '.join(str(e).split())) from e
  print(f'{OUTPUT.value}: {model or "the model of --config"}')
  config = model and published_models.config_of(model)
  if config:
    print(
      f'python eval.py --config={config} --config.init_from.path='
      f'{OUTPUT.value} --workdir=<new folder>'
    )


if __name__ == '__main__':
  flags.mark_flag_as_required('output')
  runtime.run(main)
