"""The playground as its visitors meet it: a real browser, a real server."""

import signal

import numpy as np
import PIL.Image
import pytest

from configs.perceiver_io import (
  masked_language_modelling,
  mnist5k,
  optical_flow,
)
from tests import exported_runs, playground_pages
from tests.playground_pages import (
  ActionChains,
  By,
  Keys,
  Page,
  Program,
  make_driver,
)
from tests.playground_servers import make_run, serving, small_config

pytestmark = [
  pytest.mark.full,
  pytest.mark.skipif(
    not playground_pages.is_installed(),
    reason='needs Chromium, its driver and Selenium: make test-playground',
  ),
]


DEPTHS = 1, 1  # whose random weights tell one drawing from another


@pytest.fixture(scope='module')
def driver(tmp_path_factory):
  with make_driver(tmp_path_factory.mktemp('profile')) as driver:
    yield driver


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'small'
  folder.mkdir()
  return exported_runs.make_run(folder, small_config(DEPTHS))


@pytest.fixture(scope='module')
def program(workdir):
  program = Program(workdir)
  yield program
  assert program.end() == 0  # Ctrl-C is no failure.


@pytest.fixture
def page(driver, program):
  page = Page(driver, program.address)
  yield page
  assert not [x for x in page.errors() if ' 400 ' not in x['message']]


def test_a_stroke_gets_a_class(page):
  page.drawn()
  found = page.probabilities()
  assert list(found) == [str(i) for i in range(10)]
  assert abs(sum(found.values()) - 100) < 1
  best = max(found, key=found.get)
  assert page.one('.top').text.split()[0] == best
  said = page.one('[role=status]').get_attribute('textContent')
  assert f'small: {best}, ' in said


def test_under_the_pointer_clusters_light_up_in_every_stage(page):
  page.drawn()
  before = [
    page.driver.execute_script('return arguments[0].toDataURL()', x)
    for x in page.all('.layer canvas')
  ]
  canvas = page.all('.layer canvas')[0]
  ActionChains(page.driver).move_to_element_with_offset(
    canvas, -canvas.size['width'] // 2 + 2, -canvas.size['height'] // 2 + 2
  ).perform()
  page.wait(lambda: len(page.all('.chips .lit')) == 2)  # one of each stage
  text = page.where()
  assert 'stage 1, row 1, column 1' in text
  assert 'stage 2, row 1, column 1' in text
  after = [
    page.driver.execute_script('return arguments[0].toDataURL()', x)
    for x in page.all('.layer canvas')
  ]
  assert all(x != y for x, y in zip(before, after, strict=True))


def test_a_cluster_is_switched_off_and_on(page):
  page.drawn()
  before = page.probabilities()
  for m in range(3):
    page.cluster(2, m).click()
  page.wait(lambda: page.all('.bars .was'))
  page.settled()
  assert page.cluster(2, 1).get_attribute('aria-pressed') == 'true'
  off = page.probabilities()
  assert off != before and len(page.all('.bars .was')) == 10
  page.one('.reset').click()
  assert page.probabilities() == before
  assert page.cluster(2, 1).get_attribute('aria-pressed') == 'false'
  page.one('.relevant').click()
  page.wait(lambda: page.all('.bars .was'))
  assert len(page.all('[aria-pressed=true]')) == 1


def test_a_wrong_file_is_said_and_a_right_one_goes_on(page, tmp_path):
  wrong, right = tmp_path / 'cat.png', tmp_path / 'a <b>.png'
  wrong.write_text('I am no picture. <img src=x onerror=alert(1)>')
  pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
  PIL.Image.fromarray(pixels).save(right)
  field = page.one('input[type=file]')
  field.send_keys(str(wrong))
  page.wait(lambda: 'expected an image' in page.one('#wrong').text)
  assert not page.all('.bars')
  field.send_keys(str(right))
  page.wait(lambda: page.all('.bars'))
  assert page.one('#wrong').text == ''
  shape = page.driver.execute_script(
    'const x = byId("drawing"); return [x.width, x.height]'
  )
  assert shape == [256, 171]  # as the picture is


def test_two_tabs_do_not_know_each_other(page, driver):
  page.drawn()
  first = driver.current_window_handle
  before = page.probabilities()
  address = driver.current_url
  driver.switch_to.new_window('tab')
  other = Page(driver, address)
  other.draw((-80, 0), (80, 0))
  other.settled()
  different = other.probabilities()
  other.cluster(2, 0).click()
  other.wait(lambda: other.all('.bars .was'))
  driver.close()
  driver.switch_to.window(first)
  assert page.probabilities() == before != different
  assert not page.all('[aria-pressed=true]')
  page.cluster(1, 0).click()
  page.wait(lambda: page.all('.bars .was'))


def test_keys_alone_do_all_of_it(page):
  page.one('#drawing').send_keys(Keys.SPACE, *[Keys.ARROW_DOWN] * 6)
  page.settled()
  before = page.probabilities()
  canvas = page.all('.layer canvas')[1]
  canvas.send_keys(Keys.ARROW_RIGHT)
  said = page.one('[role=status]').get_attribute('textContent')
  assert 'stage 2, row 5, column 6' in said
  chips = [page.cluster(1, m) for m in range(5)]
  assert [x.get_attribute('tabindex') for x in chips] == ['0', *['-1'] * 4]
  chips[0].send_keys(Keys.ARROW_RIGHT)
  assert page.driver.switch_to.active_element == chips[1]
  chips[1].send_keys(Keys.SPACE)
  page.wait(lambda: page.all('.bars .was'))
  assert chips[1].get_attribute('aria-pressed') == 'true'
  chips[1].send_keys(Keys.ENTER)
  page.settled()
  assert page.probabilities() == before


def test_a_screen_reader_hears_what_everything_is(page):
  page.drawn()
  tree = page.driver.execute_cdp_cmd('Accessibility.getFullAXTree', {})
  found = {}
  for node in tree['nodes']:
    role = node.get('role', {}).get('value', '')
    if role in ('button', 'slider', 'image', 'application', 'ColorWell', 'img'):
      name = node.get('name', {}).get('value', '')
      assert name, node
      found.setdefault(role.lower(), []).append(name)
  assert any('relevance' in x and 'Switch off' in x for x in found['button'])
  assert any(
    'stage 2' in x for x in found.get('image', []) + found.get('img', [])
  )
  roles = [x.get('role', {}).get('value') for x in tree['nodes']]
  assert 'alert' in roles and 'status' in roles and 'heading' in roles


@pytest.mark.parametrize('scheme', ['dark', 'light'])
def test_it_is_as_dark_as_its_visitor_likes(page, scheme):
  page.driver.execute_cdp_cmd(
    'Emulation.setEmulatedMedia',
    {'features': [{'name': 'prefers-color-scheme', 'value': scheme}]},
  )
  colours = page.driver.execute_script(
    'const s = getComputedStyle(document.body);'
    'return [s.backgroundColor, s.color].map('
    '(x) => x.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0))'
  )
  ground, ink = colours
  assert (
    (ground < 120 and ink > 600)
    if scheme == 'dark'
    else (ground > 600 and ink < 120)
  )


def test_a_killed_server_is_said_and_a_new_one_found(driver, workdir):
  program = Program(workdir)
  page = Page(driver, program.address)
  page.drawn()
  before = page.probabilities()
  program.end(signal.SIGKILL)
  page.wait(lambda: 'does not answer' in page.one('#lost').text)
  page.cluster(2, 0).click()  # in vain, and no harm
  program = Program(workdir, program.address.rpartition(':')[2])
  page.wait(lambda: not page.one('#lost').text)
  page.driver.refresh()
  page = Page(driver, program.address)
  page.drawn()
  assert page.probabilities() == before
  program.end()


def test_two_runs_stand_side_by_side(driver, tmp_path):
  runs = [
    make_run(tmp_path / name, small_config(DEPTHS)) for name in ('a', 'b')
  ]
  with serving(runs) as port:
    page = Page(driver, f'http://127.0.0.1:{port}')
    page.drawn()
    page.wait(lambda: len(page.all('.top')) == 2)
    assert page.probabilities(0) == page.probabilities(1)
    page.cluster(2, 0, run=1).click()
    page.wait(lambda: page.all('.bars .was'))
    page.settled()
    assert page.all('article')[0].find_elements(By.CSS_SELECTOR, '.was') == []
    left, right = (x.rect for x in page.all('article'))
    assert left['y'] == right['y'] and left['x'] < right['x']


def test_blanks_are_filled(driver, tmp_path):
  config = masked_language_modelling.get_config('tiny')
  with serving([make_run(tmp_path / 'words', config)]) as port:
    page = Page(driver, f'http://127.0.0.1:{port}')
    page.wait(lambda: len(page.all('.filled mark')) >= 3)
    field = page.one('#text')
    field.clear()
    field.send_keys('a [MASK] b [MASK]')
    page.wait(lambda: len(page.all('.filled:last-of-type > li')) == 2)
    page.settled()
    for line in page.all('.tokens'):  # of all latents, and of a few
      assert line.get_attribute('textContent') == 'a ▢ b ▢'
    ActionChains(driver).move_to_element(page.all('.tokens span')[2]).perform()
    page.wait(lambda: page.all('.tokens .at'))
    word = page.all('.filled button')[0]
    chosen = word.get_attribute('textContent')
    word.click()
    assert field.get_attribute('value') == f'a {chosen} b [MASK]'
    page.all('input[value=tokens]')[0].click()
    page.wait(lambda: 'blank 1' in page.one('.bars').text)
    field.clear()
    field.send_keys('nothing')
    page.wait(lambda: "found no '[MASK]'" in page.one('#wrong').text)
    errors = [x for x in page.errors() if ' 400 ' not in x['message']]
    assert not errors


def test_the_vector_of_a_pixel_is_told(driver, tmp_path):
  config = optical_flow.get_config('tiny')
  frames = []
  for i in range(2):
    pixels = np.random.default_rng(i).integers(0, 256, (70, 90, 3), np.uint8)
    frames.append(tmp_path / f'frame{i}.png')
    PIL.Image.fromarray(pixels).save(frames[-1])
  with serving([make_run(tmp_path / 'flow', config)]) as port:
    page = Page(driver, f'http://127.0.0.1:{port}')
    field = page.one('input[type=file]')
    field.send_keys(str(frames[0]))
    page.wait(lambda: 'two frames' in page.one('#wrong').text)
    field.send_keys('\n'.join(map(str, frames)))
    page.wait(lambda: page.all('.stand canvas'))
    ActionChains(driver).move_to_element(page.one('.stand canvas')).perform()
    page.wait(lambda: page.one('.vector').text.startswith('At 4'))
    assert 'pixels to the right' in page.one('.vector').text


def test_latents_show_what_they_read(driver, tmp_path):
  config = mnist5k.get_config('tiny')
  with serving([make_run(tmp_path / 'latents', config)]) as port:
    page = Page(driver, f'http://127.0.0.1:{port}')
    page.drawn()
    assert len(page.all('.layer')) == 2
    assert not page.all('[aria-pressed]')  # Latents cannot be switched off.
    ActionChains(driver).move_to_element(page.all('.layer canvas')[1]).perform()
    page.wait(lambda: 'all latents together, row' in page.where())
    assert page.errors() == []
