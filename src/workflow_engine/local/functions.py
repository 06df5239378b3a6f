"""Runs the Lambda functions of the template in this process: the real handlers, found by the names
that the template gives them, with the events and the context that Lambda would give them."""

import io
import itertools
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from time import monotonic
from traceback import format_exception
from typing import Any, TextIO

from typing_extensions import override

from workflow_engine.local.errors import TemplateError
from workflow_engine.local.place import Place
from workflow_engine.local.template import Function
from workflow_engine.ports.clock import Clock, IdSource

REMEMBERED_LINES = 200


class FunctionLog(io.TextIOBase):
    """What the functions print. The last lines are remembered; all go to *copy_to*, if any."""

    def __init__(self, copy_to: TextIO | None = None) -> None:
        super().__init__()
        self._copy_to = copy_to
        self._lines: deque[str] = deque(maxlen=REMEMBERED_LINES)
        self._unfinished = ""
        self._lock = threading.Lock()

    @override
    def write(self, text: str, /) -> int:
        with self._lock:
            *whole, self._unfinished = (self._unfinished + text).split("\n")
            self._lines.extend(whole)
            self._copy(text)
        return len(text)

    def _copy(self, text: str) -> None:
        """Write to the copy, if there is one. Whoever reads it may have gone away, which is no failure of a stage."""
        try:
            if self._copy_to is not None:
                self._copy_to.write(text)
        except OSError:
            self._copy_to = None

    @override
    def flush(self) -> None:
        with suppress(OSError):
            if self._copy_to is not None:
                self._copy_to.flush()

    @override
    def writable(self) -> bool:
        return True

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines, oldest first."""
        return tuple(self._lines)


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler is told about its invocation (Lambda developer guide, "context object")."""

    function_name: str
    invoked_function_arn: str
    memory_limit_in_mb: int
    aws_request_id: str
    log_group_name: str
    timeout_seconds: int
    function_version: str = "$LATEST"
    log_stream_name: str = "local"
    identity: None = None
    client_context: None = None
    # How long an invocation has taken is no matter of the time of day.
    _started: float = field(default_factory=monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda would end the invocation; never below 0."""
        left = self.timeout_seconds - (monotonic() - self._started)
        return max(int(left * 1000), 0)


@dataclass(frozen=True, slots=True)
class Invocation:
    """How an invocation ended: what the handler answered, or what it raised."""

    function: str
    took: timedelta
    answer: Any = None
    error: Exception | None = None


@dataclass(slots=True, kw_only=True)
class FunctionRunner:
    """Invokes functions. What they print goes to *log*; *failures* are what handlers raised."""

    place: Place
    ids: IdSource
    clock: Clock
    log: FunctionLog
    failures: list[Invocation] = field(default_factory=list)
    invocations: Iterator[int] = field(default_factory=itertools.count)
    _handlers: dict[str, Callable[[Any, Any], Any]] = field(default_factory=dict)

    def load(self, function: Function) -> None:
        """Import the handler of *function*: the cold start.

        Raises:
            TemplateError: there is no such handler.
        """
        module_name, _, name = function.handler.rpartition(".")
        try:
            # Powertools' logger keeps the stream it finds when it is made.
            with self.captured():
                self._handlers[function.logical_id] = getattr(import_module(module_name), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise TemplateError(where=f"handler {function.handler}", problem=str(error)) from error

    def invoke(self, function: Function, event: Any) -> Invocation:
        """Give *event* to the function's handler. An error that it raises is answered, not raised."""
        handler = self._handlers[function.logical_id]
        name = function.identity.name
        context = Context(
            function_name=name,
            invoked_function_arn=function.identity.arn or name,
            memory_limit_in_mb=function.memory_megabytes,
            aws_request_id=self.ids.new_id(),
            log_group_name=f"/aws/lambda/{name}",
            timeout_seconds=function.timeout_seconds,
        )
        started = self.clock.now()
        try:
            with self.captured():
                answer = handler(event, context)
        except Exception as error:  # whatever a handler raises fails its invocation, and nothing else
            self.log.write("".join(format_exception(error)))
            failure = Invocation(function.logical_id, self.clock.now() - started, error=error)
            self.failures.append(failure)
            return failure
        return Invocation(function.logical_id, self.clock.now() - started, answer)

    @contextmanager
    def captured(self) -> Iterator[None]:
        """Have what is printed go to the log. Entered again inside, it changes nothing."""
        if sys.stdout is self.log:
            yield
            return
        with redirect_stdout(self.log):
            yield
