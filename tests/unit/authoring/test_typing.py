"""Type checkers infer what a stage's author writes, and object to what cannot work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PRELUDE = """
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any
from typing_extensions import assert_type
from pydantic import BaseModel
from workflow_engine import (
    Failure, NotReady, RetryPolicy, Stage, StageContext, StageResult, Suspended, WaitForSignal, Workflow,
    WorkflowDefinition, sleep, stage,
)

class Document(BaseModel):
    text: str

class Words(BaseModel):
    count: int

class Config(BaseModel):
    minimum: int = 1

class State(BaseModel):
    batch: str

@stage("plain", retry=RetryPolicy(max_attempts=3), timeout=timedelta(minutes=2))
def plain(document: Document, ctx: StageContext[Config]) -> Words:
    assert_type(ctx.config, Config)
    return Words(count=ctx.config.minimum)

@stage("suspends", requires=[plain])
def suspends(words: Words, ctx: StageContext) -> Words | Suspended[State]:
    return Suspended(State(batch="b"), poll_every=timedelta(minutes=5), give_up_after=timedelta(hours=24))

@suspends.check_completion
def check(state: State, ctx: StageContext) -> Words | NotReady:
    return NotReady()

@stage("waits")
def waits(words: Words) -> WaitForSignal[State] | Words:
    return WaitForSignal("approval", State, timedelta(days=1))

@waits.on_signal
def decide(state: State, ctx: StageContext) -> Words:
    return Words(count=0)

@stage("result")
async def result(words: Words) -> StageResult[Words]:
    return StageResult(output=words, metrics={"n": 1})

@stage("many")
async def many(words: Words) -> Words | StageResult[Words] | Suspended[State]:
    return words

@stage("nothing")
def nothing(words: Words) -> None: ...

@stage("only-suspends")
def only_suspends(words: Words) -> Suspended[State]:
    return Suspended(State(batch="b"), poll_every=timedelta(1))
"""

FITS = (
    PRELUDE
    + """
@stage("reader")
def reader(ctx: StageContext) -> Words:
    assert_type(ctx.require(plain), Words)
    assert_type(ctx.require(suspends), Words)
    assert_type(ctx.require(waits), Words)
    assert_type(ctx.require(result), Words)
    assert_type(ctx.require(many), Words)
    assert_type(ctx.optional(plain), Words | None)
    assert_type(ctx.optional(result), Words | None)
    assert_type(ctx.require("by-id"), Any)
    assert_type(ctx.require(only_suspends), Any)
    time_left(ctx)
    ctx.log("info", "read", words=3)
    return ctx.require(plain)

def time_left(ctx: StageContext) -> timedelta:
    return ctx.remaining()

def configured(ctx: StageContext[Config]) -> None:
    time_left(ctx)
    assert_type(plain(Document(text=""), ctx), Words)

def reader_context() -> StageContext: ...  # type: ignore[empty-body]

assert_type(suspends(Words(count=1), ctx=reader_context()), Words | Suspended[State])
assert_type(check(State(batch=""), reader_context()), Words | NotReady)

def twice(number: int, by: int = 2) -> int:
    return number * by

def found() -> State | None: ...

async def fetch(number: int) -> Words: ...  # type: ignore[empty-body]

def anything(*args: Any) -> Any: ...

def durable(ctx: StageContext[Config]) -> None:
    assert_type(ctx.step("a", twice, 1), int)
    assert_type(ctx.step("b", twice, 1, 3, retry=RetryPolicy()), int)
    assert_type(ctx.step("c", lambda: "text"), str)
    assert_type(ctx.step("d", anything, 1, "b", returns=Words), Words)
    assert_type(ctx.under("e").step("f", found), State | None)
    assert_type(ctx.wait_for_signal("go", State, timeout=timedelta(days=1)), State)
    assert_type(ctx.wait_until("g", found, every=timedelta(minutes=1)), State)
    assert_type(ctx.wait_until("h", anything, every=timedelta(minutes=1), returns=Words), Words)
    assert_type(ctx.key("a"), str)
    ctx.wait_for_signal("go")
    ctx.sleep("i", timedelta(hours=1))

async def durable_async(ctx: StageContext) -> None:
    assert_type(await ctx.step("a", fetch, 1), Words)

async def test() -> None:
    assert_type(await result(Words(count=1)), StageResult[Words])

stages: list[Stage] = [plain, suspends, result]
workflow = Workflow("w", input=Document).pipe(plain).pipe(sleep("nap", timedelta(1))).parallel(result, many).build()
assert_type(workflow, WorkflowDefinition)

@plain.undo(timeout=timedelta(minutes=1))
def take_back(done: Words | None, ctx: StageContext) -> None:
    assert_type(ctx.undoes.effect_key, str)
    assert_type(ctx.undoes.key("a"), str)

assert_type(take_back(None, reader_context()), None)

@stage("tell")
def tell(failure: Failure) -> None:
    assert_type(failure.not_undone, tuple[str, ...])

Workflow("w", input=Document, undo_on=["failed"]).pipe(plain).on_failure(tell).build()

def is_long(document: Document) -> bool:
    return len(document.text) > 100

@stage("either")
def either(words: Words | None) -> Words:
    assert_type(words, Words | None)
    return words or Words(count=0)

assert_type(nothing.when(lambda words: True)(Words(count=1)), None)
chosen = Workflow("w", input=Document).pipe(plain, when=is_long).pipe(either)
chosen.choose(lambda words: words.count, {1: nothing}, otherwise=suspends).build()
chosen.parallel(nothing.when(lambda words: True), suspends).build()
"""
)

UNFIT = {
    "a stage that returns no model": '@stage("bad")\ndef bad(words: Words) -> int:\n    return 3\n',
    "a call with another type": "plain(3, 4)\n",
    "a predicate that answers text": 'plain.when(lambda document: "yes")\n',
    "a predicate that is none": 'Workflow("w", input=Document).pipe(plain, when=True)\n',
    "an arm that is no stage": 'Workflow("w", input=Document).choose(len, small="plain")\n',
    "a call that forgets the context": 'plain(Document(text=""))\n',
    "a suspension without a period": 'Suspended(State(batch="b"))\n',
    "a state that is no model": 'Suspended("b", poll_every=timedelta(1))\n',
    "an output of another type": "def f(ctx: StageContext) -> Document:\n    return ctx.require(plain)\n",
    "an optional output taken for granted": "def f(ctx: StageContext) -> Words:\n    return ctx.optional(plain)\n",
    "a step of another type": 'def f(ctx: StageContext) -> Words:\n    return ctx.step("a", lambda: 1)\n',
    "a step that lacks an argument": (
        'def g(n: int) -> int: ...  # type: ignore\ndef f(ctx: StageContext) -> None:\n    ctx.step("a", g)\n'
    ),
    "a step with another argument": (
        'def g(n: int) -> int: ...  # type: ignore\ndef f(ctx: StageContext) -> None:\n    ctx.step("a", g, "b")\n'
    ),
    "a step that is not awaited": (
        "async def g() -> Words: ...  # type: ignore\n"
        'async def f(ctx: StageContext) -> Words:\n    return ctx.step("a", g)\n'
    ),
    "a wait for what is no model": 'def f(ctx: StageContext) -> None:\n    ctx.wait_for_signal("go", int)\n',
    "a config that is not there": "def f(ctx: StageContext[Config]) -> Any:\n    return ctx.config.maximum\n",
    "a function that is no stage": 'def f(d: Document) -> Words: ...\nWorkflow("w", input=Document).pipe(f)\n',
    "an input that is no model": 'Workflow("w", input=dict)\n',
}


def mypy(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml")]
    return subprocess.run([*command, *map(str, files)], cwd=ROOT, capture_output=True, text=True, check=False)


def pyright(folder: Path) -> list[str]:
    """What pyright objects to in *folder*, as "file:line rule"; by the build of it that brings its own Node.js."""
    settings = {"typeCheckingMode": "standard", "pythonVersion": "3.11", "extraPaths": [str(ROOT / "src")]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "--project", "."]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = json.loads(answer.stdout)["generalDiagnostics"]
    errors = [one for one in found if one["severity"] == "error"]
    return [f"{Path(one['file']).name}:{one['range']['start']['line'] + 1} {one.get('rule')}" for one in errors]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy says of all the unfit samples, in one run: starting it is what takes long."""
    folder = tmp_path_factory.mktemp("unfit")
    files = []
    for number, sample in enumerate(UNFIT.values()):
        file = folder / f"sample_{number}.py"
        file.write_text(PRELUDE + sample)
        files.append(file)
    return mypy(*files).stdout


def test_the_types_of_outputs_configs_and_calls_are_inferred(tmp_path: Path) -> None:
    sample = tmp_path / "sample.py"
    sample.write_text(FITS)
    checked = mypy(sample)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("number", range(len(UNFIT)), ids=list(UNFIT))
def test_a_type_checker_objects_to(number: int, verdicts: str) -> None:
    first_line = PRELUDE.count("\n") + 1
    found = [line for line in verdicts.splitlines() if f"sample_{number}.py:" in line and " error: " in line]
    assert found, verdicts
    assert all(int(line.split(":")[1]) >= first_line for line in found), found


def test_pyright_infers_the_same_and_objects_to_the_same(tmp_path: Path) -> None:
    (tmp_path / "fits.py").write_text(FITS)
    for number, sample in enumerate(UNFIT.values()):
        (tmp_path / f"sample_{number}.py").write_text(PRELUDE + sample)
    found = pyright(tmp_path)
    assert not [one for one in found if one.startswith("fits.py")], found
    objected = {one.partition(":")[0] for one in found}
    missed = {name for number, name in enumerate(UNFIT) if f"sample_{number}.py" not in objected}
    assert missed == set(), found
