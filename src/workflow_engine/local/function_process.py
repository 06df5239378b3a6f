"""The functions of a local stack in a process of their own, so that changed code is a new process.

``python -m workflow_engine.local.function_process TEMPLATE NAME=VALUE…``, in the environment of the
stack. Ends, after the job in hand, with SIGTERM, SIGINT, or the end of its standard input: it does
not outlive a parent that was killed.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from workflow_engine.adapters.system import RandomIds, SystemClock
from workflow_engine.errors import TransientError, WorkflowEngineError
from workflow_engine.local.driver import Driver
from workflow_engine.local.environment import code_on_path
from workflow_engine.local.errors import one_line
from workflow_engine.local.functions import FunctionLog, FunctionRunner
from workflow_engine.local.place import Place
from workflow_engine.local.project import DEFAULT_WORKFLOWS, workflows_at
from workflow_engine.local.template import Template

RETRY_AFTER_SECONDS = 1.0
# The exit code where the template or the code cannot be served.
CANNOT_SERVE = 2


def main(template_path: str, *overrides: str) -> int:
    """Serve until told to stop; answers the exit code."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
    place = Place(endpoint=os.environ["AWS_ENDPOINT_URL"])
    try:
        template = Template.read(Path(template_path), place, dict(pair.split("=", 1) for pair in overrides))
        with code_on_path(template.code_folder()):
            _serve(template, stop)
    except WorkflowEngineError as error:
        print(f"{error.code}: {one_line(str(error))}", file=sys.stderr, flush=True)
        return CANNOT_SERVE
    return 0


def _serve(template: Template, stop: threading.Event) -> None:
    # Before a message is taken: one that fails for broken code would be invisible for minutes.
    workflows_at(template.variables().get("WORKFLOWS", DEFAULT_WORKFLOWS))
    clock = SystemClock()
    runner = FunctionRunner(place=template.place, ids=RandomIds(), clock=clock, log=FunctionLog(sys.stderr))
    driver = Driver(template, runner, clock)
    print("functions: ready", file=sys.stderr, flush=True)
    while not stop.is_set():
        try:
            driver.drive(lambda: False, stop)
        except TransientError as error:
            # The parent is busy, or ends just now: it says so by closing our input.
            print(f"{error.code}: {one_line(str(error))}", file=sys.stderr, flush=True)
            stop.wait(RETRY_AFTER_SECONDS)


def _stop_at_end_of_input(stop: threading.Event) -> None:
    while sys.stdin.read(1):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
