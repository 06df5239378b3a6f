"""What is durable in a stage's body: named steps, and waits. The engine keeps what each has come to, once."""

import copy
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Self, TypeAlias, TypeVar, overload

from pydantic import BaseModel

from workflow_engine.authoring.engine import DurableSteps, Engine
from workflow_engine.authoring.outcomes import check_positive, is_model, is_signal_name
from workflow_engine.authoring.retry import RetryPolicy

AT = TypeVar("AT")
BT = TypeVar("BT")
CT = TypeVar("CT")
DT = TypeVar("DT")
ResultT = TypeVar("ResultT")
PayloadT = TypeVar("PayloadT", bound=BaseModel)
Retry: TypeAlias = RetryPolicy | None


class BodySuspended(BaseException):
    """Ends a stage's body where it begins to wait, or is over: it goes on elsewhere, from the top.

    No ``Exception``, so that ``except Exception`` does not catch it. Whatever a body does with it, each later
    step or wait raises it again, and what the body answers then is not looked at.
    """


class DurableContext:
    """The durable part of a stage's context.

    A step's outcome is stored once, under its name. When the stage is tried again, or goes on after a wait, its
    body runs from the top, and finds the outcomes of the steps that it has taken before; there is nothing else to
    be deterministic for. A stage has up to 1,000 names (1 to 256 bytes of UTF-8 without control characters and
    without ``#``), waits among them, each used once by an attempt.
    """

    __slots__ = ("_durable", "_engine", "_prefix")

    _durable: DurableSteps | None
    _engine: Engine | None
    _prefix: str

    # An async function returns what its step is to return: a coroutine. More than four arguments take a lambda.
    @overload
    def step(
        self, name: str, function: Callable[[], ResultT], /, *, retry: Retry = None, returns: None = None
    ) -> ResultT: ...
    @overload
    def step(
        self, name: str, function: Callable[[AT], ResultT], a: AT, /, *, retry: Retry = None, returns: None = None
    ) -> ResultT: ...
    @overload
    def step(
        self,
        name: str,
        function: Callable[[AT, BT], ResultT],
        a: AT,
        b: BT,
        /,
        *,
        retry: Retry = None,
        returns: None = None,
    ) -> ResultT: ...
    @overload
    def step(
        self,
        name: str,
        function: Callable[[AT, BT, CT], ResultT],
        a: AT,
        b: BT,
        c: CT,
        /,
        *,
        retry: Retry = None,
        returns: None = None,
    ) -> ResultT: ...
    @overload
    def step(
        self,
        name: str,
        function: Callable[[AT, BT, CT, DT], ResultT],
        a: AT,
        b: BT,
        c: CT,
        d: DT,
        /,
        *,
        retry: Retry = None,
        returns: None = None,
    ) -> ResultT: ...
    @overload
    def step(
        self, name: str, function: Callable[[], Any], /, *, retry: Retry = None, returns: type[ResultT]
    ) -> ResultT: ...
    @overload
    def step(
        self, name: str, function: Callable[[AT], Any], a: AT, /, *, retry: Retry = None, returns: type[ResultT]
    ) -> ResultT: ...
    @overload
    def step(
        self,
        name: str,
        function: Callable[[AT, BT], Any],
        a: AT,
        b: BT,
        /,
        *,
        retry: Retry = None,
        returns: type[ResultT],
    ) -> ResultT: ...
    @overload
    def step(
        self,
        name: str,
        function: Callable[[AT, BT, CT], Any],
        a: AT,
        b: BT,
        c: CT,
        /,
        *,
        retry: Retry = None,
        returns: type[ResultT],
    ) -> ResultT: ...
    @overload
    def step(
        self,
        name: str,
        function: Callable[[AT, BT, CT, DT], Any],
        a: AT,
        b: BT,
        c: CT,
        d: DT,
        /,
        *,
        retry: Retry = None,
        returns: type[ResultT],
    ) -> ResultT: ...
    def step(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        retry: RetryPolicy | None = None,
        returns: Any = None,
    ) -> Any:
        """What ``function(*args)`` comes to (up to four *args*), once: stored before this returns, and found by every
        later attempt.

        An ``async def`` function is awaited: ``await ctx.step(…)``; what it returns its annotation says. The result
        goes through its type, the annotation or *returns*, and is JSON where there is none (up to 16 MiB; above 8 KB it
        lies in S3). With *retry* the function is called again where it fails: in place after a pause below 10 s, else
        the stage is left until the pause is over. May be called from the threads and tasks of the body, and a step has no steps of its own.

        Raises:
            StepFailedError: the function failed, or answered what cannot be kept. Once the body goes on after it
                (its next step or wait, or its end), that is its outcome, raised again by every later attempt;
                where it leaves the body, the next attempt calls the function again.
            StepNameError: *name* cannot be taken.
            DefinitionChangedError: the stored result no longer fits its type.
            ValueError: the function's annotations cannot be read, or pydantic knows no such type.
        """
        from workflow_engine.authoring.result_types import returned

        found = returned(function)
        kind = found.type if returns is None else returns
        return self._steps.call(
            self._named(name), lambda: function(*args), kind=kind, is_async=found.is_async, retry=retry
        )

    def sleep(self, name: str, duration: timedelta) -> None:
        """Wait for *duration*, counted from when the wait begins; nothing runs meanwhile.

        A second wait of one name is called ``name~2``, and so on: they come one after another. ``finally`` and
        ``with`` run at each wait, since the body ends there and runs again from the top afterwards.

        Raises:
            ValueError: *duration* is not positive.
            StepNameError: *name* cannot be taken, or it is not for here: waits are for the thread or the event
                loop of the body, and for no check and no signal handler.
        """
        check_positive(f"the duration of {name!r}", duration)
        self._steps.sleep(self._named(name), duration)

    @overload
    def wait_for_signal(self, name: str, schema: type[PayloadT], timeout: timedelta | None = None) -> PayloadT: ...
    @overload
    def wait_for_signal(self, name: str, schema: None = None, timeout: timedelta | None = None) -> None: ...
    def wait_for_signal(
        self, name: str, schema: type[BaseModel] | None = None, timeout: timedelta | None = None
    ) -> BaseModel | None:
        """The payload of the next signal *name*, as *schema*: one that came before the wait counts, each
        answers one wait, and one that does not fit *schema* is dropped. Otherwise as ``sleep``.

        Raises:
            WaitExpiredError: it did not come within *timeout*, counted from when the wait begins; ``None`` waits as
                long as the run lives.
            ValueError: *name* is no signal name, or *timeout* is not positive.
            TypeError: *schema* is no pydantic model class.
            StepNameError: as for ``sleep``.
        """
        if not is_signal_name(name):
            raise ValueError(f"{name!r} is no signal name: 1 to 64 of A-Za-z0-9_.:-, a letter or digit first")
        if schema is not None and not is_model(schema):
            raise TypeError(f"the schema of signal {name!r} must be a pydantic model class or None")
        check_positive("timeout", timeout)
        return self._steps.wait_for_signal(self._named(name), name, schema, timeout)

    # What is not there yet is told by ``None``, which is never answered.
    @overload
    def wait_until(
        self,
        name: str,
        look: Callable[[], ResultT | None],
        *,
        every: timedelta,
        give_up_after: timedelta | None = None,
        returns: None = None,
    ) -> ResultT: ...
    @overload
    def wait_until(
        self,
        name: str,
        look: Callable[[], Any],
        *,
        every: timedelta,
        give_up_after: timedelta | None = None,
        returns: type[ResultT],
    ) -> ResultT: ...
    def wait_until(
        self,
        name: str,
        look: Callable[[], Any],
        *,
        every: timedelta,
        give_up_after: timedelta | None = None,
        returns: Any = None,
    ) -> Any:
        """What *look* answers, as soon as that is neither ``None`` nor ``False``: it is asked at once, then
        *every* so long, with nothing running meanwhile. The answer is kept as that of a step. Otherwise as ``sleep``.

        Raises:
            WaitExpiredError: there was none *give_up_after* the wait began; ``None`` asks as long as the run lives.
            StepFailedError: *look* failed.
            ValueError: a duration is not positive.
            StepNameError: as for ``sleep``.
        """
        from workflow_engine.authoring.result_types import returned

        check_positive("every", every)
        check_positive("give_up_after", give_up_after)
        found = returned(look)
        return self._steps.wait_until(
            self._named(name),
            look,
            kind=found.type if returns is None else returns,
            is_async=found.is_async,
            every=every,
            give_up_after=give_up_after,
        )

    def under(self, prefix: str) -> Self:
        """This context, with names that begin with ``prefix/``: for helpers, and for what a loop does for each
        item. Signals keep their names."""
        self._share()
        found = copy.copy(self)
        found._prefix = f"{self._named(prefix)}/"
        return found

    def key(self, name: str) -> str:
        """The idempotency key of what the step *name* does outside: the same on every attempt of the stage, and
        another one after a rerun."""
        return self._steps.key(self._named(name))

    @property
    def steps(self) -> Mapping[str, Any]:
        """The results of the stage's steps and waits that are stored by now, as JSON-compatible values, by name
        (with its prefix). What failed or expired is not among them."""
        return self._steps.results()

    @property
    def _steps(self) -> DurableSteps:
        if self._durable is None:
            self._durable = self._asked.steps()
        return self._durable

    @property
    def _asked(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("this context was made by hand, and no engine runs its stage")
        return self._engine

    def _share(self) -> None:
        """Make what a copy must have in common with this."""
        self._durable = self._steps

    def _named(self, name: str) -> str:
        return f"{self._prefix}{name}"
