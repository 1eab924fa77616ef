"""Files of what was measured: results/claims/NAME.json.

Each has `measurement`, and either `values`, `command`, `date`, `machine` and
`cpu_seconds`, or for a study `metric` and `runs`, each with `setting`, `seed`,
`value` and the same.
"""

import datetime
import json
import os
import pathlib
import platform
from typing import Any

ROOT = pathlib.Path(__file__).parent.parent.parent
RESULTS = ROOT / 'results' / 'claims'


def read(name: str, folder: pathlib.Path = RESULTS) -> dict[str, Any] | None:
  """What was measured; None if nothing was.

  Raises:
    ValueError: the file is another measurement's.
  """
  path = folder / f'{name}.json'
  if not path.exists():
    return None
  found = json.loads(path.read_text())
  if found.get('measurement') != name:
    raise ValueError(
      f'{path}: measurement: found {found.get("measurement")!r}, expected '
      f'{name!r}.'
    )
  return found


def write(
  name: str, content: dict[str, Any], folder: pathlib.Path = RESULTS
) -> None:
  """Writes a file as a whole or not at all."""
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / f'{name}.json'
  partial = path.with_suffix('.partial')
  text = json.dumps({'measurement': name} | content, indent=1)
  partial.write_text(text + '\n')
  os.replace(partial, path)


def circumstances() -> dict[str, str]:
  """Date and machine, with how many programs wait for its cores."""
  model = platform.processor() or platform.machine()
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  if cpuinfo.exists():
    for line in cpuinfo.read_text().splitlines():
      if line.startswith('model name'):
        model = line.partition(':')[2].strip()
        break
  load = os.getloadavg()[0]
  return {
    'date': datetime.date.today().isoformat(),
    'machine': f'{os.cpu_count()} cores, {model}, load average {load:.0f}',
  }
