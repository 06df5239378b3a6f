"""What becomes an input, and what does not."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from workflow_engine import Workflow, WorkflowDefinition, stage
from workflow_engine.cli import inputs
from workflow_engine.cli.errors import UnreadableInputError
from workflow_engine.cli.inputs import INLINE, STANDARD_INPUT, read_inputs
from workflow_engine.errors import InvalidInputError, PayloadTooLargeError, WorkflowEngineError
from workflow_engine.local.errors import InvalidOptionError
from workflow_engine.model.limits import MAX_PAYLOAD_BYTES


class Page(BaseModel):
    name: str = "untitled"
    text: str


class Order(BaseModel):
    number: int


@stage("read")
def read(page: Page) -> Page:
    return page


@stage("take")
def take(order: Order) -> Order:
    return order


PAGES = Workflow("pages", input=Page).pipe(read).build()
ORDERS = Workflow("orders", input=Order).pipe(take).build()


def only(given: str | Path, definition: WorkflowDefinition = PAGES) -> dict[str, Any]:
    (found,), refused = read_inputs([str(given)], definition)
    assert refused == []
    return found.data


def refusal(given: str | Path, definition: WorkflowDefinition = PAGES) -> WorkflowEngineError:
    read, (refused,) = read_inputs([str(given)], definition)
    assert read == []
    return refused.error


def test_json_text_is_the_input() -> None:
    (found,), _ = read_inputs([' {"number": 3}'], ORDERS)

    assert (found.source, found.data) == (INLINE, {"number": 3})


def test_a_json_file_holds_the_input(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text('{"number": 3}')

    assert only(tmp_path / "order.json", ORDERS) == {"number": 3}


def test_standard_input_holds_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"number": 3}'))
    (found,), _ = read_inputs(["-"], ORDERS)

    assert (found.source, found.data) == (STANDARD_INPUT, {"number": 3})


def test_any_other_file_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9")

    assert only(tmp_path / "notes.md") == {"name": "notes.md", "text": "café"}


def test_a_document_is_no_input_of_a_workflow_without_text(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("words")

    assert "'text'" in str(refusal(tmp_path / "notes.md", ORDERS))


def test_each_file_of_a_folder_is_an_input_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("b.txt", "a.txt", "inner/c.txt", ".hidden"):
        (tmp_path / name).write_text(name)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("not a document")

    found, _ = read_inputs([str(tmp_path)], PAGES)

    assert [item.data["text"] for item in found] == ["a.txt", "b.txt", "inner/c.txt"]


def test_a_file_with_two_names_is_one_input_under_its_own(tmp_path: Path) -> None:
    (tmp_path / "GPL-3").write_text("words")
    (tmp_path / "GPL").symlink_to("GPL-3")

    assert only(tmp_path)["name"] == "GPL-3"


def test_a_bad_file_keeps_no_other_back(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("words")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\x00")

    found, refused = read_inputs([str(tmp_path)], PAGES)

    assert [item.data["name"] for item in found] == ["good.txt"]
    assert [Path(item.source).name for item in refused] == ["empty.txt", "picture.png"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.txt", b"", "empty"),
        ("blank.txt", b" \n ", "empty"),
        ("latin.txt", b"caf\xe9", "UTF-8"),
        ("binary.bin", b"a\x00b", "binary"),
        ("broken.json", b"{", "JSON"),
        ("list.json", b"[1]", "object"),
        ("nan.json", b'{"number": NaN}', "JSON"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    error = refusal(tmp_path / name)

    assert isinstance(error, UnreadableInputError)
    assert said in str(error)
    assert name in str(error)
    assert error.advice


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in str(refusal(tmp_path / "nothing.txt"))


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()

    assert "no files" in str(refusal(tmp_path))


def test_a_file_of_50_mb_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    error = refusal(path)

    assert isinstance(error, PayloadTooLargeError)
    assert (error.size_bytes, error.limit_bytes) == (50 * 1024 * 1024, MAX_PAYLOAD_BYTES)
    assert "split it" in str(error)


@pytest.mark.parametrize("given", ['{"number": "many"}', "{}"])
def test_what_does_not_fit_the_workflow_is_refused(given: str) -> None:
    assert isinstance(refusal(given, ORDERS), InvalidInputError)


@pytest.mark.parametrize(
    "data",
    [b"", b"  ", b'{"number": "\xff"}', b"\xff\xfe{\x00}\x00", b"\x00", b'{"number": 1e400}', b"[" * 10_000, b"[1]"],
)
def test_standard_input_that_is_no_input_is_refused(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
    read, (refused,) = read_inputs(["-"], ORDERS)

    assert read == []
    assert isinstance(refused.error, UnreadableInputError)
    assert str(refused.error).startswith(STANDARD_INPUT)


def test_standard_input_above_what_a_run_takes_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO(b" " * (MAX_PAYLOAD_BYTES + 100))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream, encoding="utf-8"))
    _, (refused,) = read_inputs(["-"], ORDERS)

    assert isinstance(refused.error, PayloadTooLargeError)
    assert stream.tell() == MAX_PAYLOAD_BYTES + 1


def test_standard_input_that_is_closed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    _, (refused,) = read_inputs(["-"], ORDERS)

    assert "is closed" in str(refused.error)


@pytest.mark.parametrize("given", ["x" * 5000, "[1, 2]", "a/" * 3000])
def test_what_is_no_path_is_refused_in_few_words(given: str) -> None:
    _, (refused,) = read_inputs([given], ORDERS)

    assert isinstance(refused.error, UnreadableInputError)
    assert len(str(refused.error)) < 300


def test_links_that_lead_nowhere_or_to_each_other_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("text")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "up").symlink_to(tmp_path)
    (tmp_path / "nowhere").symlink_to(tmp_path / "no-such-file")
    found, refused = read_inputs([str(tmp_path)], PAGES)

    assert ([one.source for one in found], refused) == ([str(tmp_path / "page.md")], [])


def test_line_ends_of_windows_stay_in_documents_and_are_space_in_json(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_bytes(b"one\r\ntwo\r\n")
    (tmp_path / "order.json").write_bytes(b'\xef\xbb\xbf{\r\n"number": 3\r\n}\r\n')

    assert only(tmp_path / "page.md")["text"] == "one\r\ntwo\r\n"
    assert only(tmp_path / "order.json", ORDERS) == {"number": 3}


def test_a_folder_with_more_files_than_anybody_means_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "MAX_FILES", 2)
    for number in range(3):
        (tmp_path / f"{number}.md").write_text("text")

    with pytest.raises(InvalidOptionError, match="more than 2 files"):
        read_inputs([str(tmp_path)], PAGES)
