"""What steps answer: types, sizes, and how it is shown."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import Any

import pytest
from typing_extensions import TypedDict

from tests.engine.bodies import (
    MINUTE,
    ONCE,
    Counted,
    Item,
    bodied,
    fails_once,
)
from workflow_engine import (
    DefinitionChangedError,
    StageContext,
    Status,
    StepFailedError,
)
from workflow_engine.cli.run_views import show_run
from workflow_engine.kernel.queries import archive_format
from workflow_engine.kernel.queries.documents import Shown, run_document
from workflow_engine.model.limits import MAX_INLINE_STEPS_BYTES
from workflow_engine.testing.engine import VirtualEngine


class TestTypes:
    def test_values_come_back_as_their_annotation_says(self, engine: VirtualEngine) -> None:
        @dataclass
        class Point:
            x: int
            y: int

        class Kind(Enum):
            GOOD = "good"

        class Facts(TypedDict):
            names: list[str]

        def point() -> Point:
            return Point(1, 2)

        def kind() -> Kind:
            return Kind.GOOD

        def facts() -> Facts:
            return {"names": ["a"]}

        def model() -> Item | None:
            return Item(value=5)

        def nothing() -> None:
            return None

        def pause() -> timedelta:
            return timedelta(seconds=1.5)

        seen: list[list[Any]] = []

        def body(ctx: StageContext[Any]) -> None:
            functions: list[Callable[[], Any]] = [point, kind, facts, model, nothing, pause]
            seen.append([ctx.step(function.__name__, function) for function in functions])
            seen[-1].append(ctx.step("said", lambda: {"value": 7}, returns=Item))
            seen[-1].append(ctx.step("partial", partial(Item, value=3)))
            fails_once()(ctx)

        engine.run(bodied(body), Item())
        expected = [Point(1, 2), Kind.GOOD, {"names": ["a"]}, Item(value=5), None, pause(), Item(value=7)]
        assert seen == [[*expected, Item(value=3)]] * 2

    @pytest.mark.parametrize(
        ("answer", "returns"),
        [
            (object(), None),
            ({1: 2}, None),
            ((1, 2), None),
            (float("nan"), None),
            (b"bytes", None),
            ("\ud800", None),
            (Item(), None),
            ("text", int),
            ({"value": {1, 2}}, Item),
            ({}, int),
            ("x" * (16 * 1024 * 1024), None),
        ],
    )
    def test_what_cannot_be_kept_is_a_failure_of_the_step(
        self, engine: VirtualEngine, answer: Any, returns: Any
    ) -> None:
        work, seen = Counted(answer), list[str]()

        def body(ctx: StageContext[Any]) -> Any:
            try:
                ctx.step("work", work, returns=returns)
            except StepFailedError as error:
                seen.append(error.error_type)

        run = engine.run(bodied(body), Item())
        assert (run.status, len(work.calls)) == (Status.COMPLETED, 1)
        assert seen in (["InvalidOutputError"], ["PayloadTooLargeError"])

    def test_a_type_that_nobody_can_keep_is_told_before_the_function_is_called(self, engine: VirtualEngine) -> None:
        called: list[int] = []

        def lock() -> threading.Event:
            called.append(1)
            return threading.Event()

        run = engine.run(bodied(lambda ctx: ctx.step("lock", lock), retry=ONCE), Item())
        assert (run.status, called) == (Status.FAILED, [])
        assert run.error is not None
        assert "say returns=" in run.error.message

    @pytest.mark.parametrize("returns", [None, "list"])
    def test_a_name_that_is_not_defined_is_told_before_the_function_is_called(
        self, engine: VirtualEngine, returns: Any
    ) -> None:
        called: list[int] = []

        def later() -> list["Nowhere"]:  # type: ignore[name-defined]  # noqa: F821
            called.append(1)
            return []

        kind: Any = list["Nowhere"] if returns else None  # type: ignore[name-defined]  # noqa: F821
        run = engine.run(bodied(lambda ctx: ctx.step("later", later, returns=kind), retry=ONCE), Item())
        assert run.error is not None
        assert (run.error.type, called) == ("ValueError", [])

    @pytest.mark.parametrize("size", [8_000, 500_000, 15_000_000])
    def test_large_results_come_back_whole(self, engine: VirtualEngine, size: int) -> None:
        work = Counted("x" * size)

        def body(ctx: StageContext[Any]) -> Any:
            text = ctx.step("work", work)
            fails_once()(ctx)
            return len(text)

        assert engine.run(bodied(body), Item()).output == {"value": size}
        assert len(work.calls) == 1

    def test_many_of_some_size_are_still_read_in_one_page(self, engine: VirtualEngine) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            total = sum(len(ctx.step(f"n{n}", Counted("y" * 7_900))) for n in range(140))
            fails_once()(ctx)
            return total

        run = engine.run(bodied(body), Item())
        assert run.output == {"value": 140 * 7_900}
        steps = engine.persistence.list_steps(run.id)
        inline = sum(len(step.output.inline or b"") for step in steps if step.output)
        assert MAX_INLINE_STEPS_BYTES - 8_000 < inline <= MAX_INLINE_STEPS_BYTES

    def test_what_no_longer_fits_its_type_is_told_by_name(self, engine: VirtualEngine) -> None:
        kinds: list[Any] = [str, int]

        def body(ctx: StageContext[Any]) -> Any:
            try:
                ctx.step("work", lambda: "text", returns=kinds[ctx.attempt - 1])
            except DefinitionChangedError:
                return "swallowed"
            return fails_once()(ctx)

        run = engine.run(bodied(body), Item())
        assert run.status is Status.FAILED
        assert run.error is not None
        assert run.error.type == "DefinitionChangedError"
        assert "step 'work'" in run.error.message


def test_steps_are_shown_and_archived(engine: VirtualEngine, capsys: pytest.CaptureFixture[str]) -> None:
    def body(ctx: StageContext[Any]) -> Any:
        ctx.step("small", lambda: {"a": 1})
        with contextlib.suppress(StepFailedError):
            ctx.step("shaky", Counted(failing=9))
        ctx.log("info", "before")
        ctx.sleep("nap", MINUTE)
        ctx.log("info", "after")
        return ctx.step("large", Counted("x" * 9_000))[:1]

    run = engine.run(bodied(body), Item())
    [stage] = run_document(Shown.of(engine.kernel, run.id))["stages"]
    assert [(step["name"], step["kind"], step["status"], step["result"]) for step in stage["steps"]] == [
        ("shaky", "call", "FAILED", None),
        ("small", "call", "COMPLETED", {"a": 1}),
        ("large", "call", "COMPLETED", None),
        ("nap", "sleep", "COMPLETED", None),
    ]
    assert [line.message for line in engine.kernel.queries.logs(run.id)] == ["before", "after"]
    show_run(engine.kernel, run.id, with_input=False, as_json=False)
    shown = capsys.readouterr().out
    assert "work: 4 steps" in shown
    assert "ConnectionError: not yet" in shown
    archived = archive_format.read(engine.kernel.queries.archive_lines(run.head))
    assert list(archived.steps) == list(engine.persistence.list_steps(run.id))
    assert [step.name for step in archived.view(engine.kernel.queries.definition_of(run.head)).stages[0].steps] == [
        step["name"] for step in stage["steps"]
    ]
