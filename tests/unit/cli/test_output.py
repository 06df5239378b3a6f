"""What is printed reaches its reader: whole on a pipe, on any encoding, and nothing breaks where he leaves."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from tests.unit.cli.conftest import create, work
from workflow_engine.cli.display import JsonDisplay, TerminalDisplay
from workflow_engine.cli.inputs import RefusedInput
from workflow_engine.cli.output import Json, console, json_text, print_json, print_table, show
from workflow_engine.cli.run_filters import RunFilter as Wanted
from workflow_engine.cli.run_views import show_list, show_run
from workflow_engine.cli.streams import take_anything
from workflow_engine.errors import InvalidInputError
from workflow_engine.kernel.queries.documents import Shown
from workflow_engine.local.functions import FunctionLog
from workflow_engine.testing.clock import FakeClock
from workflow_engine.wiring.memory import MemoryEngine

LONG = "word " * 200
ODD = "naïve ✓ \U0001f600 \udcff \x07 \ud83d"
ENCODINGS = ["utf-8", "cp1252", "latin-1", "ascii", "cp437", "utf-16"]


class Terminal(io.TextIOWrapper):
    """A terminal that keeps what it is shown."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, newline="")

    @override
    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        """All of it."""
        return shown_by(self)


def shown_by(out: io.TextIOWrapper) -> str:
    out.flush()
    buffer: Any = out.buffer
    text: str = buffer.getvalue().decode(out.encoding)
    return text


def printed(encoding: str, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> str:
    """What *act* prints to a pipe in *encoding*."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    monkeypatch.setattr(sys, "stdout", out)
    take_anything()
    act()
    return shown_by(out)


def test_json_on_a_pipe_is_neither_cut_nor_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"text": LONG, "list": [LONG]}
    said = printed("utf-8", lambda: show(console(sys.stdout), Json(value)), monkeypatch)

    assert json.loads(said) == value
    assert said == json.dumps(value, indent=2) + "\n"


def test_json_on_a_terminal_is_not_cut_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    out = Terminal()
    show(console(out), Json({"text": LONG}))

    assert json.loads(out.shown) == {"text": LONG}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("display", [JsonDisplay, TerminalDisplay])
def test_a_run_that_is_over_is_shown_in_any_encoding(
    engine: MemoryEngine, display: Any, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = create(engine, 1)
    work(engine)
    shown = Shown.of(engine.kernel, run_id)
    refused = [RefusedInput(f"{ODD}.txt", InvalidInputError(what=ODD, problems=[ODD]))]

    said = printed(encoding, lambda: display().finished([(ODD, shown), (ODD, shown)], refused), monkeypatch)
    assert run_id in said


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_says_the_same_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"text": ODD, ODD: [ODD, 1.5, None]}

    assert json.loads(printed(encoding, lambda: print_json(document), monkeypatch)) == document
    assert json.loads(printed(encoding, lambda: show(console(sys.stdout), Json(document)), monkeypatch)) == document


def test_a_number_that_json_has_not_is_null() -> None:
    assert json.loads(json_text({"a": float("nan"), "b": [float("inf")]}, sys.stdout)) == {"a": None, "b": [None]}


def test_a_table_on_a_pipe_is_as_wide_as_what_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def act() -> None:
        print_table(("one", "two"), [(LONG.strip(), LONG.strip())], empty="")

    assert LONG.strip() in printed("utf-8", act, monkeypatch)


def test_ids_are_whole_on_a_narrow_terminal(engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    run_id = create(engine, -1)
    work(engine)
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    show_list(engine.kernel, Wanted(workflow_id="asking"), 10, as_json=False)

    assert run_id in out.shown


def test_an_input_that_is_refused_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    refused = [
        RefusedInput("texts/bad.json", InvalidInputError(what="input", problems=["value: missing"])),
        RefusedInput("texts/a", InvalidInputError(what="texts/a", problems=["named already"])),
    ]
    TerminalDisplay().refused(refused)

    assert capsys.readouterr().err.splitlines() == [
        "InvalidInputError: texts/bad.json: input: value: missing",
        "InvalidInputError: texts/a: named already",
    ]


def test_a_wait_for_a_signal_says_since_when_and_until_when(
    engine: MemoryEngine, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = create(engine, 1)
    began = clock.now()
    work(engine)
    clock.advance(timedelta(hours=2))

    show_run(engine.kernel, run_id, with_input=False, as_json=True)
    stage = json.loads(capsys.readouterr().out)["stages"][-1]
    assert stage["group"] == 3
    assert stage["waiting"] == {
        "for": "signal",
        "since": began.isoformat(),
        "until": (began + timedelta(days=1)).isoformat(),
        "next_check_at": None,
        "gives_up_at": (began + timedelta(days=1)).isoformat(),
        "signal": "answer",
        "step": None,
    }
    show_run(engine.kernel, run_id, with_input=False, as_json=False)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ask  ")]
    assert ("+0 ms" in line, "2 h" in line, "┄" in line) == (True, True, True)


def test_what_a_stage_prints_fails_nothing_where_nobody_reads_it() -> None:
    class Gone(io.StringIO):
        @override
        def write(self, _text: str, /) -> int:
            raise BrokenPipeError

    log = FunctionLog(Gone())
    log.write("one\n")
    log.write("two\n")
    log.flush()

    assert log.lines == ("one", "two")


def ended(*words: str, stdout: Any = subprocess.PIPE, **environment: str) -> tuple[int, str]:
    """How the command line ends in a process of its own, and what it says on standard error."""
    finished = subprocess.run(
        [sys.executable, "-m", "workflow_engine.cli", *words],
        env={**os.environ, **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return finished.returncode, finished.stderr


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["run", "--help"]])
def test_a_reader_who_has_gone_away_is_no_trouble(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert ended(*words, stdout=writer) == (0, "")
    finally:
        os.close(writer)


def test_a_disk_that_is_full_is_one_line_and_no_failed_run() -> None:
    with Path("/dev/full").open("wb") as full:
        code, said = ended("--version", stdout=full)

    assert (code, said.count("\n")) == (2, 1)
    assert "No space left on device" in said


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"]])
def test_help_is_readable_on_a_terminal_of_another_time(words: list[str]) -> None:
    assert ended(*words, PYTHONIOENCODING="cp1252") == (0, "")
