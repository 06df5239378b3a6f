"""Following the log of a run: what a look costs."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from typing_extensions import override

from tests.unit.cli.conftest import create, work
from workflow_engine.cli.run_views import LogReader
from workflow_engine.wiring.memory import MemoryEngine


class Counting:
    """A persistence that counts what it is asked for."""

    def __init__(self, persistence: Any) -> None:
        self._persistence, self.calls = persistence, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self._persistence, name)


class Looks(threading.Event):
    """Ends a follower after so many looks, with what happens between two of them."""

    def __init__(self, *between: Callable[[], object]) -> None:
        super().__init__()
        self._between = list(between)

    @override
    def wait(self, timeout: float | None = None) -> bool:
        if not self._between:
            return True
        self._between.pop(0)()
        return False


def nothing() -> None:
    """Nothing happens."""


@pytest.fixture
def counted(engine: MemoryEngine) -> Counting:
    persistence = Counting(engine.kernel.parts.persistence)
    # The queries are made when they are asked for first, and they are what a follower reads with.
    kernel = engine.kernel
    kernel.__dict__["queries"] = replace(kernel.queries, persistence=persistence)
    return persistence


def test_a_look_at_a_run_that_has_not_moved_reads_its_head_alone(engine: MemoryEngine, counted: Counting) -> None:
    run_id = create(engine, 1)
    reader = LogReader(kernel=engine.kernel, run_id=run_id, stage_id=None, all_attempts=False, as_json=True)
    counted.calls.clear()
    reader.follow(Looks(*[nothing] * 50))
    assert (counted.calls["list_logs"], counted.calls["list_records"]) == (1, 1)


def test_a_run_that_moves_is_read_again(engine: MemoryEngine, counted: Counting) -> None:
    run_id = create(engine, 1)
    reader = LogReader(kernel=engine.kernel, run_id=run_id, stage_id=None, all_attempts=False, as_json=True)
    counted.calls.clear()
    reader.follow(Looks(nothing, lambda: work(engine), nothing))
    assert counted.calls["list_logs"] == 2
