"""Images and their labels stay together; wrong files are named."""

import io

import numpy as np
import PIL.Image
import pytest

from data.segmentation import ade20k, brain, image_mask_folder, segmentation_ops


def coded(height=60, width=90):
  """An image whose grey level is ten times its label."""
  labels = (np.arange(height)[:, None] // 20 + np.arange(width) // 30) % 5
  labels = labels.astype(np.uint8)
  return PIL.Image.fromarray(np.repeat(labels[..., None] * 10, 3, 2)), labels


def rng(seed=0):
  return np.random.default_rng(seed)


def test_crop_and_flip_move_image_and_labels_alike():
  for seed in range(8):
    image, labels = segmentation_ops.random_crop(
      *coded(), rng(seed), size=(33, 40), max_share=0.75
    )
    image, labels = segmentation_ops.random_flip(image, labels, rng(seed))
    assert labels.shape == (33, 40)
    np.testing.assert_array_equal(np.asarray(image)[..., 0], labels * 10)


def test_no_class_dominates_a_crop_if_it_can_be_avoided():
  labels = np.zeros((64, 64), np.uint8)
  labels[:, 56:] = 1
  labels[:20] = segmentation_ops.IGNORE
  image = PIL.Image.fromarray(labels)
  shares = []
  for seed in range(40):
    for max_share in (0.75, 1.0):
      _, crop = segmentation_ops.random_crop(
        image, labels, rng(seed), size=(16, 16), max_share=max_share
      )
      counts = np.bincount(crop[crop < 2], minlength=2)
      shares.append(counts.max() / max(counts.sum(), 1) < 0.75)
  capped, free = np.mean(shares[::2]), np.mean(shares[1::2])
  assert capped > 0.3 > 0.2 > free


def test_padding_is_ignored_at_the_right_and_below():
  pixels, labels = segmentation_ops.pad(
    np.ones((3, 4, 3)), np.zeros((3, 4), np.uint8), (5, 4)
  )
  assert pixels.shape == (5, 4, 3) and pixels[3:].sum() == 0
  assert (labels[3:] == 255).all() and (labels[:3] == 0).all()


def test_photometric_distortion_keeps_its_ranges():
  grey = PIL.Image.new('RGB', (4, 4), (100, 100, 100))
  values = {
    int(np.asarray(segmentation_ops.photometric_distortion(grey, rng(i))).max())
    for i in range(300)
  }
  # (100 +- 32) * [0.5, 1.5], and untouched now and then.
  assert 100 in values and min(values) >= 33 and max(values) <= 198
  assert min(values) < 45 and max(values) > 160
  red = PIL.Image.new('RGB', (4, 4), (200, 40, 40))
  hues = set()
  for i in range(300):
    changed = segmentation_ops.photometric_distortion(red, rng(i))
    hues.add(int(np.asarray(changed.convert('HSV'))[0, 0, 0]))
  hues = {hue - 256 * (hue > 128) for hue in hues}
  assert -27 <= min(hues) < -20 and 20 < max(hues) <= 27


@pytest.mark.parametrize(
  'size, want', [((683, 512), (683, 512)), ((300, 200), (768, 512))]
)
def test_fit_size_keeps_the_aspect(size, want):
  image = PIL.Image.new('L', size)
  assert segmentation_ops.fit_size(image, (2048, 512)) == want
  assert segmentation_ops.fit_size(image, (512, 2048)) == want
  wide = PIL.Image.new('L', (5000, 500))
  assert segmentation_ops.fit_size(wide, (2048, 512)) == (2048, 205)
  assert segmentation_ops.fit_size(wide, (2048, 512), 32) == (2048, 192)


def test_ade20k_shifts_its_labels_and_evaluates_at_full_size():
  options = dict(
    bounds=(2048, 512), crop_size=48, scale=(0.5, 2.0), max_share=0.75
  )
  for example in ade20k.synthetic('test', 2):
    out = ade20k.preprocess(
      example,
      train=False,
      rng=None,
      **options | dict(bounds=(256, 64), size_multiple=32),
    )
    raw = np.asarray(PIL.Image.open(io.BytesIO(example['annotation'])))[..., 0]
    assert out['label'].shape == raw.shape
    np.testing.assert_array_equal(
      out['label'], np.where(raw == 0, 255, raw.astype(int) - 1)
    )
    assert all(s % 32 == 0 for s in out['image'].shape[:2])
    out = ade20k.preprocess(example, train=True, rng=rng(), **options)
    assert out['image'].shape == (48, 48, 3)
    assert out['label'].shape == (48, 48) and out['label'].dtype == np.int32


def write_pair(root, name, image_size, mask):
  for kind in ('images', 'masks'):
    (root / 'train' / kind).mkdir(parents=True, exist_ok=True)
  (root / 'classes.txt').write_text('ground\nsquare\n')
  PIL.Image.new('RGB', image_size).save(root / 'train/images' / f'{name}.jpg')
  PIL.Image.fromarray(mask).save(root / 'train/masks' / f'{name}.png')


# Options that leave an image of 3 x 2 pixels as it is.
SMALL = dict(bounds=(3, 2), crop_size=2, scale=(1.0, 1.0), max_share=1.0)


def test_folder_is_read(tmp_path):
  mask = np.uint8([[0, 1, 255], [1, 1, 0]])
  write_pair(tmp_path, 'a', (3, 2), mask)
  (example,) = image_mask_folder.source('train', str(tmp_path))
  out = image_mask_folder.preprocess(example, train=False, rng=None, **SMALL)
  np.testing.assert_array_equal(out['label'], mask)
  assert example['classes'] == ('ground', 'square')


def test_folder_of_bits(tmp_path):
  write_pair(tmp_path, 'a', (3, 2), np.array([[0, 1, 1], [0, 0, 1]], bool))
  (example,) = image_mask_folder.source('train', str(tmp_path))
  out = image_mask_folder.preprocess(example, train=False, rng=None, **SMALL)
  np.testing.assert_array_equal(out['label'], [[0, 1, 1], [0, 0, 1]])


@pytest.mark.parametrize(
  'mask, message',
  [
    (np.full((2, 3), 2, np.uint8), r'masks/b.png: .* below 2 .*found \[2\]'),
    (np.zeros((3, 3), np.uint8), r'masks/b.png: .*2 x 3, found \(3, 3\)'),
    (
      np.arange(18, dtype=np.uint8).reshape(2, 3, 3),
      r"masks/b.png: .*found colours \(mode 'RGB'\)",
    ),
  ],
)
def test_wrong_masks_are_named(tmp_path, mask, message):
  write_pair(tmp_path, 'a', (3, 2), np.zeros((2, 3), np.uint8))
  write_pair(tmp_path, 'b', (3, 2), mask)
  with pytest.raises(ValueError, match=message):
    image_mask_folder.source('train', str(tmp_path))


def folder_with(root, *masks):
  for i, mask in enumerate(masks):
    write_pair(root, f'p{i}', (3, 2), np.uint8(mask))
  return image_mask_folder.source('train', str(root))


def test_masks_of_0_and_255_are_noticed(tmp_path):
  mask = [[0, 255, 255], [0, 0, 255]]
  with pytest.raises(ValueError, match=r'masks/p0.png: found 0 and 255 only'):
    folder_with(tmp_path, mask, mask)
  # Beside the labels that are meant, 255 is what it says.
  assert len(folder_with(tmp_path, mask, [[0, 1, 1], [0, 0, 1]])) == 2


def test_class_that_never_occurs(tmp_path, capsys):
  (tmp_path / 'classes.txt').write_text('ground\nsquare\n')
  with pytest.raises(
    ValueError, match=r'label 1 \(square\).*found 0 in p0.png'
  ):
    folder_with(tmp_path, np.zeros((2, 3)))
  (tmp_path / 'train').rename(tmp_path / 'test')
  assert len(image_mask_folder.source('test', str(tmp_path))) == 1
  assert '1 of 2 classes are absent' in capsys.readouterr().out


def test_folders_as_people_have_them(tmp_path, capsys):
  """Orientation of the photo, suffixes, litter, a mark, a broken photo."""
  mask = np.uint8([[0, 1, 1], [0, 0, 1]])
  write_pair(tmp_path, 'a', (3, 2), mask)
  (tmp_path / 'classes.txt').write_bytes(b'\xef\xbb\xbfground\r\nsquare\r\n')
  images, masks = tmp_path / 'train/images', tmp_path / 'train/masks'
  exif = PIL.Image.Exif()
  exif[274] = 6
  shown = np.zeros((2, 3, 3), np.uint8)
  shown[0] = 200
  stored = PIL.Image.fromarray(np.ascontiguousarray(np.rot90(shown)))
  stored.save(images / 'b.webp', exif=exif, lossless=True)
  (masks / 'a.png').rename(masks / 'a.PNG')
  PIL.Image.fromarray(mask).save(masks / 'b.tif')
  for folder in (images, masks):
    for name in ('._a.png', 'Thumbs.db', '.DS_Store'):
      (folder / name).write_bytes(b'litter')
  (images / 'c.jpg').write_bytes((images / 'a.jpg').read_bytes()[:200])
  _, example = image_mask_folder.source('train', str(tmp_path))
  assert example['classes'] == ('ground', 'square')
  assert 'c.jpg: the file is broken' in capsys.readouterr().out
  out = image_mask_folder.preprocess(example, train=False, rng=None, **SMALL)
  np.testing.assert_array_equal(out['label'], mask)
  assert (out['image'][0] > 0).all() and (out['image'][1] < 0).all()

  (images / 'b.png').write_bytes(b'')
  with pytest.raises(ValueError, match=r'b\.webp: found b\.png, too'):
    image_mask_folder.source('train', str(tmp_path))


def test_missing_mask_and_empty_folder_are_named(tmp_path):
  write_pair(tmp_path, 'a', (3, 2), np.zeros((2, 3), np.uint8))
  with pytest.raises(FileNotFoundError, match='test/images: expected images'):
    image_mask_folder.source('test', str(tmp_path))
  (tmp_path / 'train/masks/a.png').unlink()
  with pytest.raises(FileNotFoundError, match=r'masks/a.png: the mask of'):
    image_mask_folder.source('train', str(tmp_path))


def test_brain_splits_blocks_of_slices(tmp_path):
  pytest.importorskip('nilearn')
  pytest.importorskip('nibabel')
  splits = {s: brain.source(s, str(tmp_path)) for s in ('train', 'test')}
  numbers = {s: {int(x['slice']) for x in v} for s, v in splits.items()}
  assert len(numbers['train']) == 98 and len(numbers['test']) == 35
  assert not numbers['train'] & numbers['test']
  # Blocks of 7: few test slices have a neighbour that trains.
  beside = {n for n in numbers['test'] if {n - 1, n + 1} & numbers['train']}
  assert len(beside) == 9
  labels = np.stack([x['label'] for v in splits.values() for x in v])
  shares = np.bincount(labels.ravel(), minlength=4) / labels.size
  assert len(shares) == 4 and shares.min() > 0.02
  values = [
    np.median([x['image'][x['label'] == c].mean() for x in splits['train']])
    for c in range(4)
  ]
  assert values == sorted(values)  # On T1 images white matter is brightest.


def test_brain_faults_are_the_slices_own_in_evaluation():
  example, other = brain.synthetic('test', 2)
  options = dict(crop_size=32, scale=(0.8, 1.25))
  a, b = (
    brain.preprocess(x, train=False, rng=None, **options)['image']
    for x in (example, dict(example))
  )
  np.testing.assert_array_equal(a, b)
  renamed = example | {'slice': other['slice']}
  c = brain.preprocess(renamed, train=False, rng=None, **options)['image']
  assert not np.array_equal(a, c)
  clean = brain.preprocess(
    example, train=False, rng=None, noise=0.0, non_uniformity=0.0, **options
  )
  assert clean['image'].shape == (384, 296, 1)
  np.testing.assert_array_equal(
    clean['label'][::2, ::2], example['label'][..., 0]
  )
  trained = brain.preprocess(example, train=True, rng=rng(), **options)
  assert trained['image'].shape == (32, 32, 1)
