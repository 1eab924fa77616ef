"""A real browser on the playground, and the program that serves it."""

import shutil
import signal
import subprocess
import sys

from tests.processes import ROOT, environment

BROWSER, DRIVER = shutil.which('chromium'), shutil.which('chromedriver')
try:
  from selenium import webdriver
  from selenium.common import exceptions
  from selenium.webdriver.common.action_chains import ActionChains
  from selenium.webdriver.common.by import By
  from selenium.webdriver.common.keys import Keys
  from selenium.webdriver.support.ui import WebDriverWait
except ModuleNotFoundError:
  webdriver = exceptions = ActionChains = By = Keys = WebDriverWait = None

_FLAGS = (
  *('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic'),
  *('--no-first-run', '--disable-background-networking'),
  *('--disable-component-update', '--disable-sync', '--window-size=1200,1400'),
)


def is_installed():
  return bool(BROWSER and DRIVER and webdriver)


def make_driver(profile):
  """Of a browser that nobody has used."""
  options = webdriver.ChromeOptions()
  options.binary_location = BROWSER
  for flag in (*_FLAGS, f'--user-data-dir={profile}'):
    options.add_argument(flag)
  options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
  return webdriver.Chrome(
    options=options, service=webdriver.ChromeService(DRIVER)
  )


class Program:
  """The program as a user starts it, and kills it."""

  def __init__(self, workdir, port=0):
    self._process = subprocess.Popen(
      [sys.executable, '-m', 'tools.playground', f'--workdir={workdir}']
      + [f'--port={port}'],
      cwd=ROOT,
      env=environment(),
      stdout=subprocess.PIPE,
      text=True,
    )
    line = self._process.stdout.readline()
    assert line.startswith('Open http://127.0.0.1:'), line
    self.address = line.split()[1]

  def end(self, how=signal.SIGINT):
    self._process.send_signal(how)
    return self._process.wait(60)


class Page:
  """An open page of the playground."""

  def __init__(self, driver, address):
    self.driver = driver
    driver.get_log('browser')
    driver.get(address)
    self.wait(
      lambda: self.all('article') and 'Ready' in self.all('article')[0].text
    )

  def wait(self, condition, seconds=120):
    wait = WebDriverWait(
      self.driver,
      seconds,
      0.05,
      (exceptions.StaleElementReferenceException, IndexError, ValueError),
    )
    return wait.until(lambda _: condition())

  def all(self, selector):
    return self.driver.find_elements(By.CSS_SELECTOR, selector)

  def one(self, selector):
    (found,) = self.all(selector)
    return found

  def draw(self, *places):
    """A stroke over the drawing, places from its centre."""
    canvas = self.one('#drawing')
    chain = ActionChains(self.driver, duration=10)
    chain.move_to_element_with_offset(canvas, *places[0]).click_and_hold()
    for place in places[1:]:
      chain.move_to_element_with_offset(canvas, *place)
    chain.release().perform()

  def drawn(self):
    """Draws a seven, and waits for what is said of all of it."""
    self.draw((-60, -80), (60, -80), (0, 80))
    self.settled()

  def settled(self):
    """Waits until no run computes."""
    script = (
      'return !preparing && runs.every((x) => !x.busy && !x.again && x.answer)'
    )
    self.wait(lambda: self.driver.execute_script(script))

  def probabilities(self, run=0):
    """As the bars have them, in percent by class."""
    rows = self.all('article')[run].find_elements(By.CSS_SELECTOR, '.bars tr')
    found = {}
    for row in rows:
      name, value = row.text.replace('<', '').split('%')[0].split()
      found[name] = float(value)
    return found

  def cluster(self, stage, m, run=0):
    return self.all('article')[run].find_elements(
      By.CSS_SELECTOR, f'.layer:nth-of-type({stage}) [data-cluster="{m}"]'
    )[0]

  def where(self):
    """What a screen reader hears of the place that is pointed at."""
    return self.one('#where-0').get_attribute('textContent')

  def errors(self):
    """Of the console: also what the content policy forbids."""
    logs = self.driver.get_log('browser')
    return [x for x in logs if 'ERR_CONNECTION' not in x['message']]
