"""An upgrade keeps what is the user's byte for byte, and writes nothing where it is not sure."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.scaffold.conftest import INSTALLED, OLD
from workflow_engine.local.intrinsics import load_yaml
from workflow_engine.scaffold.errors import (
    NewerTemplateError,
    NotRenderedError,
    ProjectFileError,
    TemplateEditedError,
)
from workflow_engine.scaffold.marks import digest_of, is_newer, take_apart
from workflow_engine.scaffold.upgrade import Upgrade, carry_out, planned

MINE = """  Orders:   # mine, tabs\tand all
    Type: AWS::SQS::Queue
\x0c
  # ünïcode \u2028 — and a line that is no mark: >>> yours
"""


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_bytes().decode()
    assert text.count(before) == 1
    path.write_bytes(text.replace(before, after).encode())


def add(path: Path, text: str = MINE, part: str = "resources") -> None:
    """Put *text* at the end of a part of the user's."""
    lines = path.read_bytes().decode().split("\n")
    end = next(number for number, line in enumerate(lines) if line.strip() == f"# <<< yours: {part}")
    path.write_bytes("\n".join([*lines[:end], text.removesuffix("\n"), *lines[end:]]).encode())


def older(path: Path) -> None:
    """Make of the template one of an older engine, which had another description."""
    text = path.read_bytes().decode().replace("A workflow engine that scales to zero", "An older engine")
    there = take_apart(text, str(path))
    path.write_bytes(text.replace(there.header.digest, digest_of(there.rest)).encode())


def upgrade(path: Path, *, installed: str = INSTALLED, discard_edits: bool = False) -> Upgrade:
    done = planned(path, installed=installed, discard_edits=discard_edits)
    carry_out(done)
    return done


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- what it does


def test_what_is_new_comes_and_what_is_mine_stays_byte_for_byte(template: Path) -> None:
    older(template)
    add(template)
    edit(template, "        # GREETING: Hello", "        GREETING: Hej")
    mine = take_apart(template.read_bytes().decode(), "").parts

    done = upgrade(template)

    after = template.read_bytes().decode()
    assert MINE in after
    assert take_apart(after, "").parts == mine
    assert "A workflow engine that scales to zero" in after
    assert "-  An older engine" in done.difference
    assert "+  A workflow engine" in done.difference
    assert (done.rendered_by, done.installed) == (OLD, INSTALLED)


def test_the_second_time_nothing_changes(template: Path) -> None:
    older(template)
    add(template)
    upgrade(template)
    before, inode = snapshot(template.parent), template.stat().st_ino

    again = upgrade(template)

    assert (again.files, again.difference) == ({}, "")
    assert snapshot(template.parent) == before
    assert template.stat().st_ino == inode


def test_the_functions_get_the_engine_that_the_template_is_for(template: Path) -> None:
    requirements = template.parent / "src" / "requirements.txt"
    requirements.write_text(f"# mine\nworkflow-engine-aws == {OLD}  # pinned\nhttpx==0.28.1\n")

    done = upgrade(template)

    assert requirements.read_text() == f"# mine\nworkflow-engine-aws == {INSTALLED}  # pinned\nhttpx==0.28.1\n"
    assert done.unpinned is None
    assert f"+workflow-engine-aws == {INSTALLED}" in done.difference


@pytest.mark.parametrize(
    "said",
    [
        "workflow-engine-aws>=0.1\n",
        f"workflow-engine-aws=={OLD} \\\n    --hash=sha256:{'0' * 64}\n",
        f"workflow-engine-aws=={OLD} --hash=sha256:{'0' * 64}\n",
        f"workflow-engine-aws-extras=={OLD}\n",
        "",
    ],
)
def test_requirements_that_are_not_ours_to_change_are_left_alone_and_told_of(template: Path, said: str) -> None:
    """One with a hash, or without a version, is made by somebody's own tools."""
    requirements = template.parent / "src" / "requirements.txt"
    requirements.write_text(said)

    assert upgrade(template).unpinned == requirements
    assert requirements.read_text() == said


@pytest.mark.parametrize(
    "said",
    [
        f"workflow-engine-aws=={INSTALLED} \\\n    --hash=sha256:{'0' * 64}\n",
        f"Workflow_Engine.AWS[local]=={OLD}\n",
        f"httpx==0.28.1\r\nworkflow-engine-aws=={OLD}\r\n",
    ],
)
def test_requirements_that_have_the_version_or_get_it_are_not_spoken_of(template: Path, said: str) -> None:
    requirements = template.parent / "src" / "requirements.txt"
    requirements.write_bytes(said.encode())

    assert upgrade(template).unpinned is None
    assert requirements.read_bytes() == said.replace(OLD, INSTALLED).encode()


def test_there_may_be_no_requirements(template: Path) -> None:
    (template.parent / "src" / "requirements.txt").unlink()

    assert list(upgrade(template).files) == [template]


def test_a_registry_of_another_name_is_kept(template: Path) -> None:
    """It stands in the first line, which is to be edited."""
    edit(template, "workflows=orders:registry", "workflows=orders.flows:all_of_them")
    upgrade(template)

    document = load_yaml(template.read_text())
    assert document["Parameters"]["Workflows"]["Default"] == "orders.flows:all_of_them"
    assert upgrade(template).files == {}


def test_a_file_with_carriage_returns_keeps_them_and_mine_keeps_what_it_has(template: Path) -> None:
    older(template)
    template.write_bytes(template.read_bytes().replace(b"\n", b"\r\n"))
    add(template, "  Mixed:\r\n    Type: AWS::SQS::Queue\n")

    done = upgrade(template)

    raw = template.read_bytes()
    assert b"  Mixed:\r\n    Type: AWS::SQS::Queue\n" in raw
    assert raw.replace(b"  Mixed:\r\n    Type: AWS::SQS::Queue\n", b"").count(b"\n") == raw.count(b"\r\n") - 1
    assert b"A workflow engine that scales to zero" in raw
    assert "\r" not in done.difference
    assert upgrade(template).files == {}


def test_a_byte_order_mark_and_a_missing_last_line_end_are_no_edits(template: Path) -> None:
    template.write_bytes(b"\xef\xbb\xbf" + template.read_bytes().rstrip(b"\n"))

    upgrade(template)

    assert template.read_bytes().startswith(b"\xef\xbb\xbf# workflow-engine 0.2.0")
    assert upgrade(template).files == {}


def test_a_part_that_an_older_version_did_not_have_comes_as_it_is(template: Path) -> None:
    edit(template, "  # >>> yours: conditions\n  # <<< yours: conditions\n", "")
    there = take_apart(template.read_text(), "")
    edit(template, there.header.digest, there.digest)

    upgrade(template)

    assert "conditions" in take_apart(template.read_text(), "").parts


def test_permissions_stay(template: Path) -> None:
    template.chmod(0o640)
    upgrade(template)

    assert stat.S_IMODE(template.stat().st_mode) == 0o640


# ---------------------------------------------------------------- what it refuses


def refused(template: Path, error: type[Exception], *, installed: str = INSTALLED) -> Exception:
    """What *error* says, and that nothing was written."""
    before = snapshot(template.parent)
    with pytest.raises(error) as raised:
        upgrade(template, installed=installed)
    assert snapshot(template.parent) == before
    return raised.value


def test_a_change_outside_the_parts_is_shown_and_nothing_is_written(template: Path) -> None:
    edit(
        template,
        "MessageRetentionPeriod: 1209600\n      ReceiveMessage",
        "MessageRetentionPeriod: 60\n      ReceiveMessage",
    )

    told = refused(template, TemplateEditedError, installed=OLD)

    assert isinstance(told, TemplateEditedError)
    changed = [line for line in told.difference.splitlines() if line[0] in "+-" and line[1:2] != line[0]]
    assert changed == ["-      MessageRetentionPeriod: 1209600", "+      MessageRetentionPeriod: 60"]
    assert "what was changed is shown above" in str(told)


def test_a_change_to_a_template_of_another_version_is_shown_beside_what_is_new(template: Path) -> None:
    older(template)
    edit(template, "Runtime: python3.13", "Runtime: python3.11")

    told = refused(template, TemplateEditedError)

    assert isinstance(told, TemplateEditedError)
    assert "+    Runtime: python3.11" in told.difference
    assert "what was changed, and what is new, is shown above" in str(told)


def test_a_change_can_be_let_go_of(template: Path) -> None:
    edit(template, "Runtime: python3.13", "Runtime: python3.11")
    add(template)

    upgrade(template, discard_edits=True)

    text = template.read_bytes().decode()
    assert "Runtime: python3.13" in text
    assert MINE in text


def test_what_somebody_has_already_made_as_it_would_be_is_no_conflict(template: Path) -> None:
    """As a merge may: the first line is the old one's."""
    there = take_apart(template.read_text(), "")
    edit(template, there.header.digest, "0" * 64)

    upgrade(template)

    assert take_apart(template.read_text(), "").header.digest == there.digest


def test_a_template_of_a_newer_version_is_left_alone(template: Path) -> None:
    told = refused(template, NewerTemplateError, installed="0.0.9")

    assert "rendered by version 0.1.0, and 0.0.9 is installed" in str(told)


@pytest.mark.parametrize(
    ("version", "than"),
    [
        ("0.10.0", "0.9.9"),
        ("1.0", "0.9"),
        ("1.0.1", "1.0"),
        ("1.0", "1.0rc1"),
        ("1.0rc2", "1.0rc1"),
        ("1.0.post1", "1.0"),
        ("1.0", "1.0.dev3"),
    ],
)
def test_versions_are_compared_as_numbers(version: str, than: str) -> None:
    assert is_newer(version, than=than)
    assert not is_newer(than, than=version)
    assert not is_newer(version, than=version)


def test_a_version_that_ends_in_zeros_is_the_same() -> None:
    assert not is_newer("1.0.0", than="1.0")
    assert not is_newer("1.0", than="1.0.0")


@pytest.mark.parametrize("part", ["parameters", "conditions", "environment", "resources", "outputs"])
@pytest.mark.parametrize("mark", [">>>", "<<<"])
def test_a_mark_that_is_missing_is_named(template: Path, part: str, mark: str) -> None:
    indent = " " * (8 if part == "environment" else 2)
    edit(template, f"{indent}# {mark} yours: {part}\n", "")

    assert part in str(refused(template, NotRenderedError))


def test_a_part_that_is_gone_whole_is_an_edit(template: Path) -> None:
    edit(template, "  # >>> yours: outputs\n  # <<< yours: outputs\n", "")

    told = refused(template, TemplateEditedError)

    assert isinstance(told, TemplateEditedError)
    assert "-  # >>> yours: outputs" in told.difference


def test_a_part_that_is_there_twice_is_named(template: Path) -> None:
    edit(
        template, "  # <<< yours: outputs\n", "  # <<< yours: outputs\n  # >>> yours: outputs\n  # <<< yours: outputs\n"
    )

    assert "outputs` is there twice" in str(refused(template, NotRenderedError))


def test_a_part_that_nobody_knows_is_not_dropped(template: Path) -> None:
    add(template, "  # >>> mine\n", part="outputs")
    edit(
        template,
        "  # <<< yours: outputs\n",
        "  # <<< yours: outputs\n  # >>> yours: layers\n  - x\n  # <<< yours: layers\n",
    )
    there = take_apart(template.read_text(), "")
    edit(template, there.header.digest, there.digest)

    assert "has no part 'layers'" in str(refused(template, NotRenderedError))


@pytest.mark.parametrize(
    "first",
    [
        "",
        "# a licence",
        "# workflow-engine",
        "# workflow-engine 0.1.0 workflows=orders:registry sha256=abc",
        f"# workflow-engine 0.1.0 workflows=../../x sha256={'0' * 64}",
        f"# workflow-engine 0.1.0 workflows=a:b\\nc sha256={'0' * 64} ",
    ],
)
def test_a_file_that_does_not_begin_as_ours_does_is_no_template_of_ours(template: Path, first: str) -> None:
    body = template.read_text().partition("\n")[2]
    template.write_text(f"{first}\n{body}")

    assert "first line" in str(refused(template, NotRenderedError))


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00", b"\x00" * 100])
def test_a_file_that_is_anything_else_is_refused(template: Path, content: bytes) -> None:
    template.write_bytes(content)

    with pytest.raises((NotRenderedError, ProjectFileError)):
        upgrade(template)
    assert template.read_bytes() == content


@pytest.mark.parametrize("name", ["template.yaml", "src/requirements.txt"])
def test_a_link_is_neither_followed_nor_replaced(project: Path, tmp_path: Path, name: str) -> None:
    real = tmp_path / "elsewhere"
    (project / name).rename(real)
    (project / name).symlink_to(real)
    before = real.read_bytes()

    told = refused(project / "template.yaml", ProjectFileError)

    assert "symbolic link" in str(told)
    assert (project / name).is_symlink()
    assert real.read_bytes() == before


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "loop"])
def test_what_is_no_file_is_refused_at_once(template: Path, kind: str) -> None:
    template.unlink()
    if kind == "folder":
        template.mkdir()
    elif kind == "pipe":
        os.mkfifo(template)
    elif kind == "loop":
        template.symlink_to(template)

    with pytest.raises(ProjectFileError):
        upgrade(template)


@contextmanager
def as_nobody() -> Iterator[None]:
    """To root nothing is closed: as another user, where that is who runs this."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read_is_refused(template: Path) -> None:
    # Not where pytest keeps its files: that folder is closed to others, and the file must be what is.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        closed = Path(shutil.copy(template, folder))
        closed.chmod(0)
        with as_nobody(), pytest.raises(ProjectFileError, match=f"{closed.name}.*Permission denied"):
            upgrade(closed)


# Each request to the file system that a write of two files consists of.
INTERRUPTIONS = [(where, at) for at in range(2) for where in ("fsync", "fdopen", "replace")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize(("where", "at"), INTERRUPTIONS)
def test_whatever_interrupts_leaves_each_file_old_or_new_and_no_other(
    template: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], where: str, at: int
) -> None:
    older(template)
    add(template)
    plan = planned(template, installed=INSTALLED)
    before, calls = snapshot(template.parent), iter(range(100))
    owner = Path if where == "replace" else os
    working = getattr(owner, where)

    def failing(*args: object, **extra: object) -> object:
        if next(calls) == at:
            raise error("in the middle")
        return working(*args, **extra)

    monkeypatch.setattr(owner, where, failing)
    with pytest.raises((KeyboardInterrupt, ProjectFileError)):
        carry_out(plan)
    monkeypatch.undo()

    after = snapshot(template.parent)
    assert after.keys() == before.keys()
    written = {path.name: text.encode() for path, text in plan.files.items()}
    assert [name for name in written if after[name] not in (before[name], written[name])] == []
    if where != "replace":
        assert after == before
    # Again, and it is done.
    upgrade(template)
    assert upgrade(template).files == {}
