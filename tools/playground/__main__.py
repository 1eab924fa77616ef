"""A page to play with a trained run, on this machine alone.

  python -m tools.playground --workdir=runs/demo
  python -m tools.playground --model=digits_on_photos

Draw a digit or drop a photograph, move over it and see which clusters look
there, switch clusters off and watch the class change; see what a Perceiver's
latents read, fill masked sentences, follow motion between two frames. Two runs
are set side by side with --workdir=runs/a,runs/b. docs/playground.md tells it
in full.
"""

import contextlib
import socket
import threading
import traceback
from collections.abc import Sequence

import uvicorn
from absl import app, flags

from tools import zoo
from tools.playground import server
from tools.playground.runs import Run
from train_lib import run_files, runtime, trained, writer

PORT = flags.DEFINE_integer(
  'port', 8123, 'Of the page; 0 for any that is free.', 0, 65_535
)
_HOST = '127.0.0.1'


def open_runs(workdirs: Sequence[str]) -> list[Run]:
  """Those that can be shown side by side.

  Raises:
    ValueError, FileNotFoundError: naming the run that cannot.
  """
  runs = []
  for workdir in workdirs:
    config = run_files.config_of(runtime.CONFIG.value, workdir)
    runs.append(Run(workdir, config, trained.BEST.value))
  for run in runs[1:]:
    if run.takes != runs[0].takes:
      raise ValueError(
        f'--workdir: {run.name} takes {run.takes}, {runs[0].name} '
        f'{runs[0].takes}; expected runs that take the same.'
      )
  return runs


def listen(port: int) -> socket.socket:
  """Raises a ValueError if the port is taken."""
  listener = socket.socket()
  listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  try:
    listener.bind((_HOST, port))
    listener.listen()  # Who asks from now on waits.
  except OSError as e:
    listener.close()
    raise ValueError(
      f'--port: {port} cannot be used ({e.strerror}); expected one that is '
      'free, such as --port=0.'
    ) from e
  return listener


def warm_up(runs: Sequence[Run]) -> None:
  """One after the other; what fails is said here and on the page."""
  for run in runs:
    try:
      run.warm_up()
    except Exception:
      traceback.print_exc()
    else:
      writer.say(f'{run.name}: ready, {run.about()["seconds"]} seconds.')


def serve(runs: Sequence[Run], listener: socket.socket) -> uvicorn.Server:
  """The server, whose `run` takes the listener; the runs warm up meanwhile."""
  threading.Thread(target=warm_up, args=(runs,), daemon=True).start()
  port = listener.getsockname()[1]
  return uvicorn.Server(
    uvicorn.Config(
      server.make_app(runs, port),
      log_level='warning',
      server_header=False,
      date_header=False,
      ws='none',
      limit_concurrency=64,
      timeout_graceful_shutdown=2,
    )
  )


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  runtime.initialize()
  try:
    name = zoo.MODEL.value
    workdirs = zoo.workdir(name) if name else runtime.required_workdir()
    runs = open_runs(workdirs.split(','))
    listener = listen(PORT.value)
  except (ValueError, FileNotFoundError) as e:
    raise SystemExit(str(e)) from e
  address = f'http://{_HOST}:{listener.getsockname()[1]}'
  print(f'Open {address} (Ctrl-C ends it).', flush=True)
  with contextlib.suppress(KeyboardInterrupt):
    serve(runs, listener).run(sockets=[listener])


if __name__ == '__main__':
  flags.mark_flags_as_mutual_exclusive(['workdir', 'model'], required=True)
  runtime.run(main)
