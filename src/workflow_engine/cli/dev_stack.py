"""The stack that ``workflow-engine dev`` keeps: served by this process, its functions in another one
that is started again when the code changes, its state in a file."""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TextIO
from urllib.parse import urlsplit

from workflow_engine.adapters.system import SystemClock
from workflow_engine.authoring import Registry
from workflow_engine.cli.output import print_json, say
from workflow_engine.cli.stacks import DEV_FILE, Stack, running_dev
from workflow_engine.cli.state_keeping import StateKeeper
from workflow_engine.local.dev_stack import CodeWatch, FunctionProcess
from workflow_engine.local.embedded_aws import EmbeddedAws
from workflow_engine.local.errors import InvalidOptionError, StackNotFoundError
from workflow_engine.local.project import Project
from workflow_engine.local.state import StackState
from workflow_engine.model.commands import TransitionRun
from workflow_engine.wiring.aws import build_kernel
from workflow_engine.wiring.settings import Settings

STATE_FILE, LOCK_FILE = "state.json", "dev.lock"
LOOK_EVERY = timedelta(milliseconds=500)


class Stop:
    """What the user wants: SIGTERM or SIGINT once is to stop, again not to wait for the job in hand."""

    def __init__(self) -> None:
        # No events: their lock may be held by the very code that a signal interrupts.
        self.asked = self.hurry = False

    @contextmanager
    def by_signals(self) -> Iterator["Stop"]:
        """Listen to both signals until the end of the block."""
        before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.asked:
            self.hurry = True
        elif number == signal.SIGINT:
            # Not print: a signal may come in the middle of another one.
            os.write(2, b"stopping, when the job in hand is done; Ctrl-C again does not wait for it\n")
        self.asked = True


def develop(project: Project, *, host: str, port: int, fresh: bool, as_json: bool) -> None:
    """Keep a stack until SIGTERM or SIGINT.

    Raises:
        InvalidOptionError: one is kept already, or nothing can be written or listened to where it should be.
        TemplateError: the template, or the state that was saved, cannot be read.
        StateNotSavedError: the last save failed.
    """
    state_path = project.state_folder / STATE_FILE
    with ExitStack() as entered:
        entered.enter_context(_alone_with(project))
        stop = entered.enter_context(Stop().by_signals())
        aws = entered.enter_context(
            EmbeddedAws(project.template_path, overrides=project.overrides, host=host, port=port)
        )
        state = StackState(aws.template, state_path)
        if fresh:
            _forget(state_path)
        loaded = state.load()
        if loaded:
            _wake_runs()
        functions = FunctionProcess(project, aws.variables, lambda: stop.hurry)
        keeper = StateKeeper(state, lambda: aws.changes, SystemClock())
        entered.callback(_end, functions, keeper)
        functions.start()
        entered.enter_context(_found_by_others(project, aws.variables))
        _greet(aws, loaded=loaded, as_json=as_json)
        _keep(functions, keeper, CodeWatch(aws.template.code_folder(), project.template_path), stop)
    print(f"stopped; {_relative(state_path)} has all of it for the next `workflow-engine dev`", file=sys.stderr)


def _end(functions: FunctionProcess, keeper: StateKeeper) -> None:
    try:
        functions.stop()
    finally:
        keeper.save_last()


def _keep(functions: FunctionProcess, keeper: StateKeeper, code: CodeWatch, stop: Stop) -> None:
    never, reported = threading.Event(), False
    while not stop.asked:
        never.wait(LOOK_EVERY.total_seconds())
        if code.has_changed():
            print("code changed: the functions start again", file=sys.stderr, flush=True)
            functions.stop()
            functions.start()
            reported = False
        elif functions.has_ended and not reported:
            print("the functions ended; they start again when the code changes", file=sys.stderr, flush=True)
            reported = True
        keeper.save_if_due()


def _wake_runs() -> None:
    """Have every live run looked at: their messages and timers were not saved."""
    kernel = build_kernel(Settings.from_environment(), Registry([]))
    commands = [TransitionRun(run_id=head.run_id) for head in kernel.queries.live()]
    Stack(name="dev", kernel=kernel).jobs.enqueue_parallel(commands)


@contextmanager
def _alone_with(project: Project) -> Iterator[None]:
    """Keep others from keeping a stack of *project*, too, until the end of the block.

    Raises:
        InvalidOptionError: somebody does, or nothing can be written beside the template.
    """
    folder = project.state_folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_FILE).open("w", encoding="utf-8")
    except OSError as error:
        problem = f"cannot keep its state in {folder}: {error.strerror or error}"
        raise InvalidOptionError(option="dev", problem=problem) from error
    with lock:
        locked = _lock(lock)
        other = None if locked else running_dev(project)
        if locked is False or other is not None:
            where = (other or {}).get("AWS_ENDPOINT_URL", "an address that it is just taking or leaving")
            raise InvalidOptionError(option="dev", problem=f"runs already, at {where}")
        yield


def _lock(file: TextIO) -> bool | None:
    """Whether *file* is ours alone until it is closed or the process ends; ``None`` without locks here."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have none
        return None
    return True


def _forget(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidOptionError(option="--fresh", problem=f"{path}: {error.strerror or error}") from error


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@contextmanager
def _found_by_others(project: Project, variables: Mapping[str, str]) -> Iterator[None]:
    """Leave a file by which other commands find the stack, as long as it runs."""
    path = project.state_folder / DEV_FILE
    unfinished = path.with_suffix(".new")
    try:
        unfinished.write_text(json.dumps(dict(variables), indent=2), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise InvalidOptionError(option="dev", problem=f"cannot write {path}: {error.strerror or error}") from error
    try:
        yield
    finally:
        with suppress(OSError):
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
    return variables if host is None else variables_at(host, variables)


def variables_at(host: str, variables: Mapping[str, str]) -> dict[str, str]:
    """*variables* of the stack that is kept, as whoever reaches it by the name *host* needs them."""
    bound = urlsplit(variables["AWS_ENDPOINT_URL"])
    reached = f"//{f'[{host}]' if ':' in host else host}:{bound.port}"
    return {name: value.replace(f"//{bound.netloc}", reached) for name, value in variables.items()}
