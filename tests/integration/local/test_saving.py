"""Saves of a local stack's state: what vanishes, what does not answer, what cannot be written or read."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.session import get_session
from moto.moto_api._internal.models import moto_api_backend

from tests.integration.local.conftest import ROOT
from workflow_engine.cli.state_keeping import LAST_TRIES, SAVE_EVERY, StateKeeper
from workflow_engine.local.embedded_aws import EmbeddedAws
from workflow_engine.local.errors import StateNotSavedError, TemplateError
from workflow_engine.local.resources import create_resources
from workflow_engine.local.state import StackState
from workflow_engine.testing.clock import FakeClock
from workflow_engine.wiring.aws import client

SESSION = get_session()
TIMEOUT = ReadTimeoutError(endpoint_url="http://127.0.0.1")
THROTTLED = ClientError({"Error": {"Code": "ThrottlingException", "Message": "slower"}}, "any")
BROKEN = KeyError("an answer that is none")
READINGS = {
    "dynamodb.Scan": "table",
    "s3.ListObjectsV2": "bucket",
    "s3.GetObject": "object blob",
    "scheduler.ListSchedules": "schedule group",
    "scheduler.GetSchedule": "schedule timer",
}


@pytest.fixture(scope="module")
def served() -> Iterator[EmbeddedAws]:
    with EmbeddedAws(ROOT / "template.yaml") as entered:
        yield entered


@pytest.fixture
def aws(served: EmbeddedAws) -> EmbeddedAws:
    empty(served)
    return served


def empty(aws: EmbeddedAws) -> None:
    """Have the stack as it is at its start."""
    moto_api_backend.reset()
    create_resources(aws.template, client)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "state.json"


def with_clients(before: str, act: Callable[..., None]) -> Callable[[str], Any]:
    """Clients, with which *act* happens before each request of the kind *before*."""

    @cache
    def client_of(service: str) -> Any:
        made = SESSION.create_client(service)
        made.meta.events.register(f"before-call.{before}", act)
        return made

    return client_of


def raising(error: Exception) -> Callable[..., None]:
    def act(**_: Any) -> None:
        raise error

    return act


def fill(aws: EmbeddedAws, mark: str) -> None:
    """Put one of each kind, with *mark* in it."""
    client("dynamodb").put_item(
        TableName=aws.variables["TABLE_NAME"], Item={"pk": {"S": "p"}, "sk": {"S": "s"}, "mark": {"S": mark}}
    )
    client("s3").put_object(Bucket=aws.variables["BUCKET_NAME"], Key="blob", Body=mark.encode())
    put_timer(aws, mark)


def put_timer(aws: EmbeddedAws, mark: str) -> None:
    group = aws.variables["SCHEDULE_GROUP_NAME"]
    delete_timer(aws)
    client("scheduler").create_schedule(
        Name="timer",
        GroupName=group,
        ScheduleExpression="at(2099-01-01T00:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": aws.variables["JOB_QUEUE_ARN"], "RoleArn": "arn:aws:iam::123456789012:role/r", "Input": mark},
    )


def delete_timer(aws: EmbeddedAws) -> None:
    group = aws.variables["SCHEDULE_GROUP_NAME"]
    if client("scheduler").list_schedules(GroupName=group)["Schedules"]:
        client("scheduler").delete_schedule(Name="timer", GroupName=group)


def marks(aws: EmbeddedAws, path: Path) -> tuple[int, int, int]:
    """How many items, objects and schedules are in the file, whose last writing holds no older ones."""
    state = json.loads(path.read_text())
    return (
        len(state["tables"][aws.variables["TABLE_NAME"]]),
        len(state["buckets"][aws.variables["BUCKET_NAME"]]),
        len(state["schedules"]),
    )


def test_a_timer_that_is_cancelled_between_listing_and_reading_is_gone_and_the_rest_is_saved(
    aws: EmbeddedAws, path: Path
) -> None:
    fill(aws, "first")
    cancelled = with_clients("scheduler.GetSchedule", lambda **_: delete_timer(aws))

    assert StackState(aws.template, path, cancelled).save() == ()
    assert marks(aws, path) == (1, 1, 0)


def test_an_object_that_is_deleted_between_listing_and_reading_is_gone_and_the_rest_is_saved(
    aws: EmbeddedAws, path: Path
) -> None:
    fill(aws, "first")
    bucket = aws.variables["BUCKET_NAME"]

    def delete(**_: Any) -> None:
        client("s3").delete_object(Bucket=bucket, Key="blob")

    deleted = with_clients("s3.GetObject", delete)
    assert StackState(aws.template, path, deleted).save() == ()
    assert marks(aws, path) == (1, 0, 1)


def test_a_whole_resource_that_somebody_deleted_is_gone_and_the_rest_is_saved(aws: EmbeddedAws, path: Path) -> None:
    fill(aws, "first")
    client("dynamodb").delete_table(TableName=aws.variables["TABLE_NAME"])
    client("sqs").delete_queue(QueueUrl=aws.variables["JOB_QUEUE_URL"])
    assert StackState(aws.template, path, client).save(with_messages=True) == ()
    assert marks(aws, path) == (0, 1, 1)

    client("s3").delete_object(Bucket=aws.variables["BUCKET_NAME"], Key="blob")
    client("s3").delete_bucket(Bucket=aws.variables["BUCKET_NAME"])
    client("scheduler").delete_schedule_group(Name=aws.variables["SCHEDULE_GROUP_NAME"])
    assert StackState(aws.template, path, client).save() == ()
    assert marks(aws, path) == (0, 0, 0)


@pytest.mark.parametrize("error", [TIMEOUT, THROTTLED, BROKEN], ids=["timeout", "throttled", "broken"])
@pytest.mark.parametrize("reading", READINGS)
def test_what_does_not_answer_stays_as_it_was_saved_and_the_rest_is_saved(
    aws: EmbeddedAws, path: Path, reading: str, error: Exception
) -> None:
    fill(aws, "first")
    StackState(aws.template, path, client).save()
    old = path.read_text()
    fill(aws, "second")

    (said,) = StackState(aws.template, path, with_clients(reading, raising(error))).save()

    assert said.startswith(READINGS[reading])
    new = path.read_text()
    assert marks(aws, path) == (1, 1, 1)
    assert new != old
    # In the item, the schedule's target and, in base64, the object.
    was_read = {"dynamodb.Scan": '"mark":{"S":"first"}', "scheduler": '"Input":"first"', "s3": '"blob":"Zmlyc3Q="'}
    for kind, first in was_read.items():
        assert (first in new) == reading.startswith(kind)


def test_what_was_never_saved_and_does_not_answer_is_told_of(aws: EmbeddedAws, path: Path) -> None:
    fill(aws, "first")
    # With the clients that it has of its own.
    assert StackState(aws.template, path).save() == ()
    path.unlink()
    (said,) = StackState(aws.template, path, with_clients("dynamodb.Scan", raising(TIMEOUT))).save()

    assert "table" in said
    assert marks(aws, path) == (0, 1, 1)


def test_a_save_that_cannot_be_written_leaves_the_file_as_it_was_and_nothing_beside_it(
    aws: EmbeddedAws, path: Path, tmp_path: Path
) -> None:
    fill(aws, "first")
    StackState(aws.template, path, client).save()
    before = path.read_text()
    (path.parent / "state.new").mkdir()

    with pytest.raises(StateNotSavedError, match="what was saved before is still there"):
        StackState(aws.template, path, client).save()
    assert path.read_text() == before
    (path.parent / "state.new").rmdir()
    (tmp_path / "file").touch()
    with pytest.raises(StateNotSavedError):
        StackState(aws.template, tmp_path / "file" / "state.json", client).save()
    # A disk that is full.
    with pytest.raises(StateNotSavedError, match="No space left"):
        StackState(aws.template, _on_a_full_disk(tmp_path), client).save()


def _on_a_full_disk(folder: Path) -> Path:
    (folder / "full.new").symlink_to("/dev/full")
    return folder / "full.json"


def test_what_was_saved_is_there_again(aws: EmbeddedAws, path: Path) -> None:
    fill(aws, "first")
    client("sqs").send_message(QueueUrl=aws.variables["JOB_QUEUE_URL"], MessageBody="hello")
    StackState(aws.template, path, client).save(with_messages=True)
    empty(aws)
    assert StackState(aws.template, path, client).load()
    again = path.with_name("again.json")
    StackState(aws.template, again, client).save(with_messages=True)

    assert json.loads(again.read_text()) == json.loads(path.read_text())


def test_messages_that_were_taken_out_are_in_the_save_that_succeeds(aws: EmbeddedAws, path: Path) -> None:
    client("sqs").send_message(QueueUrl=aws.variables["JOB_QUEUE_URL"], MessageBody="hello")
    state = StackState(aws.template, path, client)
    path.parent.mkdir()
    (path.parent / "state.new").mkdir()
    with pytest.raises(StateNotSavedError):
        state.save(with_messages=True)
    (path.parent / "state.new").rmdir()
    state.save(with_messages=True)

    assert ["hello"] in json.loads(path.read_text())["queues"].values()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"format": 2}',
        b'{"format": 1}',
        b'{"format": 1, "tables": [], "buckets": {}, "schedules": {}, "queues": {}}',
        b'{"format": 1, "tables": {"workflow-engine-local-Table": [7]}, "buckets": {}, "schedules": [], "queues": {}}',
        b'{"format": 1, "tables": {"gone": [{"PK": {"S": "p"}}]}, "buckets": {}, "schedules": [], "queues": {}}',
        b'{"format": 1, "tables": {}, "buckets": {"gone": {"key": "eA=="}}, "schedules": [], "queues": {}}',
        b'{"format": 1, "tables": {}, "buckets": {}, "schedules": [{"Name": "x"}], "queues": {}}',
        b'{"format": 1, "tables": {}, "buckets": {}, "schedules": [], "queues": {"gone": ["x"]}}',
    ],
    ids=range(14),
)
def test_a_file_that_cannot_be_loaded_is_one_line_and_stays_as_it_is(
    aws: EmbeddedAws, path: Path, content: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(TemplateError) as raised:
        StackState(aws.template, path, client).load()
    assert "--fresh" in str(raised.value)
    assert path.read_bytes() == content


def test_a_folder_in_the_place_of_the_file_is_one_line(aws: EmbeddedAws, path: Path) -> None:
    path.mkdir(parents=True)

    with pytest.raises(TemplateError, match="directory"):
        StackState(aws.template, path, client).load()


def test_a_save_in_the_background_ends_nothing_says_what_is_wrong_once_and_comes_again(
    aws: EmbeddedAws, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(aws, "first")
    wrong: list[Exception] = []

    def act(**_: Any) -> None:
        if wrong:
            raise wrong[0]

    clock, changes = FakeClock(), [0]
    keeper = StateKeeper(StackState(aws.template, path, with_clients("dynamodb.Scan", act)), lambda: changes[0], clock)
    changes[0] = 1
    wrong.append(TIMEOUT)
    for _ in range(3):
        clock.advance(SAVE_EVERY)
        keeper.save_if_due()
    assert capsys.readouterr().err.count("\n") == 1
    assert marks(aws, path) == (0, 1, 1)

    wrong.clear()
    clock.advance(SAVE_EVERY)
    keeper.save_if_due()
    assert marks(aws, path) == (1, 1, 1)
    path.unlink()
    clock.advance(SAVE_EVERY)
    keeper.save_if_due()
    assert not path.exists()
    assert capsys.readouterr().err == ""


def test_a_save_that_cannot_be_written_is_tried_again_by_the_next(
    aws: EmbeddedAws, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path.parent / "state.new").mkdir(parents=True)
    clock, changes = FakeClock(), [0]
    keeper = StateKeeper(StackState(aws.template, path, client), lambda: changes[0], clock)
    changes[0] = 1
    clock.advance(SAVE_EVERY)
    keeper.save_if_due()
    assert "not saved: " in capsys.readouterr().err

    (path.parent / "state.new").rmdir()
    clock.advance(SAVE_EVERY)
    keeper.save_if_due()
    assert path.exists()


def test_the_last_save_asks_again_for_what_did_not_answer(aws: EmbeddedAws, path: Path) -> None:
    fill(aws, "first")
    asked: list[None] = []

    def act(**_: Any) -> None:
        asked.append(None)
        if len(asked) < LAST_TRIES:
            raise TIMEOUT

    keeper = StateKeeper(StackState(aws.template, path, with_clients("dynamodb.Scan", act)), lambda: 0, FakeClock())
    keeper.save_last()

    assert len(asked) == LAST_TRIES
    assert marks(aws, path) == (1, 1, 1)
