"""The stack that ``workflow-engine dev`` keeps: served by this process, its functions in another one
that is started again when the code changes, its state in a file."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from workflow_engine.adapters.system import SystemClock
from workflow_engine.authoring import Registry
from workflow_engine.cli.checking import live_runs
from workflow_engine.cli.embedded.embedded_aws import EmbeddedAws
from workflow_engine.cli.embedded.state import StackState
from workflow_engine.cli.errors import InvalidOptionError, StackNotFoundError
from workflow_engine.cli.output import print_json, say
from workflow_engine.cli.project import Project
from workflow_engine.cli.target import DEV_FILE, running_dev
from workflow_engine.model.commands import TransitionRun
from workflow_engine.settings import Settings
from workflow_engine.wiring.aws import build_kernel

STATE_FILE = "state.json"
LOOK_EVERY = timedelta(milliseconds=500)
# Saving reads everything: not with every request, but not too seldom for a machine that crashes.
SAVE_EVERY = timedelta(seconds=5)
# A stage that is under way is let finish; Lambda would give it no longer either.
STOP_WITHIN = timedelta(minutes=15)


class FunctionProcess:
    """The process that runs the functions of *project* against the stack of *variables*."""

    def __init__(self, project: Project, variables: Mapping[str, str]) -> None:
        self._project, self._variables = project, variables
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        overrides = [f"{name}={value}" for name, value in self._project.overrides.items()]
        module = "workflow_engine.cli.embedded.function_process"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(self._project.template_path), *overrides],
            env={**os.environ, **self._variables},
            stdin=subprocess.PIPE,
            # Ctrl-C in the terminal is for us: we stop it when its job is done.
            start_new_session=True,
        )

    def stop(self) -> None:
        """Let it finish the job in hand, and end."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN.total_seconds())
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself: its code cannot be imported, for instance."""
        return self._process is not None and self._process.poll() is not None


class CodeWatch:
    """Tells when the code below *folder*, or the template, was changed."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._seen = self._state()

    def has_changed(self) -> bool:
        """Whether anything is different from the last look."""
        now = self._state()
        changed, self._seen = now != self._seen, now
        return changed

    def _state(self) -> dict[Path, int]:
        files = (file for path in self._paths for file in (path.rglob("*.py") if path.is_dir() else [path]))
        return {file: modified for file in files if (modified := _modified(file)) is not None}


def _modified(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except OSError:  # it was removed between the listing and the look
        return None


def develop(project: Project, *, host: str, port: int, fresh: bool, as_json: bool) -> None:
    """Keep a stack until SIGTERM or SIGINT.

    Raises:
        InvalidOptionError: one is kept already.
    """
    if (other := running_dev(project)) is not None:
        raise InvalidOptionError(option="dev", problem=f"runs already, at {other['AWS_ENDPOINT_URL']}")
    state_path = project.state_folder / STATE_FILE
    if fresh:
        state_path.unlink(missing_ok=True)
    with ExitStack() as entered:
        stop = entered.enter_context(_stopped_by_signals())
        aws = entered.enter_context(
            EmbeddedAws(project.template_path, overrides=project.overrides, host=host, port=port)
        )
        state = StackState(aws.template, state_path)
        loaded = state.load()
        if loaded:
            _wake_runs()
        functions = FunctionProcess(project, aws.variables)
        functions.start()
        entered.enter_context(_found_by_others(project, aws.variables))
        _greet(aws, loaded=loaded, as_json=as_json)
        try:
            _keep(aws, state, functions, CodeWatch(aws.template.code_folder(), project.template_path), stop)
        finally:
            functions.stop()
            state.save(with_messages=True)


def _keep(
    aws: EmbeddedAws, state: StackState, functions: FunctionProcess, code: CodeWatch, stop: threading.Event
) -> None:
    clock = SystemClock()
    saved_changes, saved_at, reported = aws.changes, clock.now(), False
    while not stop.wait(LOOK_EVERY.total_seconds()):
        if code.has_changed():
            print("code changed: the functions start again", file=sys.stderr, flush=True)
            functions.stop()
            functions.start()
            reported = False
        elif functions.has_ended and not reported:
            print("the functions ended; they start again when the code changes", file=sys.stderr, flush=True)
            reported = True
        if aws.changes != saved_changes and _is_time(saved_at, clock.now()):
            saved_changes, saved_at = aws.changes, clock.now()
            state.save()


def _is_time(saved_at: datetime, now: datetime) -> bool:
    return now >= saved_at + SAVE_EVERY


def _wake_runs() -> None:
    """Have every live run looked at: their messages and timers were not saved."""
    kernel = build_kernel(Settings.from_environment(), Registry([]))
    commands = [TransitionRun(run_id=head.run_id) for head in live_runs(kernel)]
    kernel.job_transport.enqueue_parallel(commands)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _found_by_others(project: Project, variables: Mapping[str, str]) -> Iterator[None]:
    """Leave a file by which other commands find the stack, as long as it runs."""
    path = project.state_folder / DEV_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(dict(variables), indent=2))
    unfinished.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _greet(aws: EmbeddedAws, *, loaded: bool, as_json: bool) -> None:
    endpoint = aws.template.place.endpoint
    if as_json:
        print_json({"endpoint": endpoint, "loaded": loaded, "variables": dict(aws.variables)})
        sys.stdout.flush()
        return
    say(f"a local stack at {endpoint}, {'as it was left' if loaded else 'empty'}; Ctrl-C stops it")
    say("in another terminal: workflow-engine run document-analysis --input README.md --no-wait")


def variables_of_dev(project: Project, host: str | None) -> dict[str, str]:
    """What a process needs in its environment to talk to the stack that is kept; *host* is by what
    name it reaches this machine (from a container, for instance).

    Raises:
        StackNotFoundError: none is kept.
    """
    variables = running_dev(project)
    if variables is None:
        raise StackNotFoundError(problem="no local stack is running", advice="start `workflow-engine dev`")
    if host is None:
        return variables
    return {name: value.replace("//127.0.0.1:", f"//{host}:") for name, value in variables.items()}
