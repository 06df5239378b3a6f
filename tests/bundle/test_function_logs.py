"""What the functions print: JSON, a line an entry, nothing of the users' data, nothing that could be mistaken."""

import io
import json
from collections.abc import Iterator

import pytest

from tests.bundle.flows import RecordedStack, recorded_stack
from tests.bundle.secretive import MARKER, registry
from workflow_engine.model.ids import RunId, run_id_for
from workflow_engine.model.status import Status
from workflow_engine.wiring.aws import build_kernel
from workflow_engine.wiring.settings import Settings


@pytest.fixture
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def stack(printed: io.StringIO) -> Iterator[RecordedStack]:
    with recorded_stack("tests.bundle.secretive:registry", copy_to=printed) as stack:
        yield stack


def entries(printed: io.StringIO) -> list[dict[str, object]]:
    """Each line; one that is no JSON is a failure."""
    return [json.loads(line) for line in printed.getvalue().splitlines()]


def test_neither_input_nor_output_nor_an_exceptions_message_is_logged(
    stack: RecordedStack, printed: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    runs: list[RunId] = []
    for workflow in registry:
        stack.send(
            type="run.create",
            workflow_id=workflow.id,
            input={"text": f"{MARKER}"},
            config={},
            attributes={"customer": MARKER},
            idempotency_key=workflow.id,
        )
        runs.append(run_id_for(workflow.id, workflow.id))
    stack.send(type="run.cancel", run_id=runs[0], reason=MARKER)
    stack.send(type="run.signal", run_id=runs[1], name="go", payload=MARKER)
    stack.tick()

    heads = build_kernel(Settings.from_environment()).parts.persistence.load_heads(runs)
    statuses = sorted(head.status for head in heads.values())
    assert statuses == [Status.COMPLETED, *[Status.FAILED] * 4]
    logged = entries(printed)
    assert sum(entry.get("message") == "stage ended" for entry in logged) == 5
    assert MARKER not in printed.getvalue()
    assert MARKER not in "".join(capfd.readouterr())


def test_nor_is_what_a_refused_message_says(stack: RecordedStack, printed: io.StringIO) -> None:
    stack.send(type="run.create", workflow_id="completes", input={"text": {"deep": MARKER}, "length": MARKER})
    stack.send(type="run.create", workflow_id="completes", input=MARKER)
    stack.send(type="run.create", workflow_id=f"{MARKER}#", input={})
    stack.send_text(f'{{"type": "run.create", "input": {MARKER}')
    stack.send_text(MARKER)

    refused = [entry for entry in entries(printed) if entry.get("message") == "message given up"]
    assert len(refused) == 5
    assert MARKER not in printed.getvalue()


def test_a_line_cannot_be_forged(stack: RecordedStack, printed: io.StringIO) -> None:
    """Text from outside is a value inside a line, whatever it holds."""
    forged = json.dumps({"level": "INFO", "message": "stage ended", "outcome": "completed"})
    stack.send(type=f"x\n{forged}\n", run_id="r")
    stack.send(**{"type": "run.transition", "run_id": "r", f"x\r\n{forged}\u2028{forged}\x85": 1})

    refused = [entry for entry in entries(printed) if entry.get("message") == "message given up"]
    assert len(refused) == 2
    assert not [entry for entry in entries(printed) if entry.get("message") == "stage ended"]


def test_a_planted_leak_is_seen(stack: RecordedStack, printed: io.StringIO) -> None:
    stack.send(type="run.create", workflow_id=MARKER, input={})

    # The id of a workflow is no data, and is logged: so the log is the one that is looked at.
    assert MARKER in printed.getvalue()
