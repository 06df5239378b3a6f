"""Ctrl-C ends a command, wherever it arrives."""

import signal

import pytest
from typing_extensions import override

from tests.unit.cli.conftest import create
from workflow_engine.cli.interrupts import Interrupt
from workflow_engine.cli.run_watch import Watch
from workflow_engine.cli.stacks import Stack
from workflow_engine.wiring.memory import MemoryEngine


def interrupt_where_nothing_is_let_out() -> None:
    """As in a finaliser: what is raised does not reach anybody."""
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_one_that_was_swallowed_is_raised_at_the_next_look() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as interrupt:
        interrupt.check()
        interrupt_where_nothing_is_let_out()
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()

    assert signal.getsignal(signal.SIGINT) == before


class Swallowing(Watch):
    """A watch whose first look is interrupted, without anybody hearing of it."""

    __slots__ = ()

    @override
    def done(self) -> bool:
        interrupt_where_nothing_is_let_out()
        return super().done()


def test_a_watch_ends_though_its_interrupt_was_swallowed(engine: MemoryEngine, stack: Stack) -> None:
    watch = Swallowing(stack=stack, run_ids=[create(engine, 1)])

    with pytest.raises(KeyboardInterrupt):
        watch.follow()
