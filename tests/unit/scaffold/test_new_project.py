"""A project is written whole into a folder that has room for it, or not at all."""

import hashlib
import json
import tomllib
from pathlib import Path

import pytest

from tests.unit.scaffold.conftest import OLD
from workflow_engine.scaffold import new_project, rendering
from workflow_engine.scaffold.errors import FolderNotEmptyError, PackageNameError, ProjectFileError


def begin(folder: Path, package: str = "orders") -> new_project.NewProject:
    return new_project.begin(folder, package=package, version=OLD)


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_it_has_all_that_running_testing_and_deploying_need(tmp_path: Path) -> None:
    begun = begin(tmp_path / "new" / "orders")
    found = {name for name in names_in(begun.folder) if (begun.folder / name).is_file()}

    assert found == set(begun.files) == set(rendering.project(version=OLD, package="orders"))
    assert found == {
        ".gitignore",
        "README.md",
        "events/maintenance-tick.json",
        "events/run-create.json",
        "pyproject.toml",
        "samconfig.toml",
        "src/orders/__init__.py",
        "src/orders/greeting.py",
        "src/requirements.txt",
        "template.yaml",
        "tests/test_greeting.py",
    }


def test_nothing_is_left_to_be_filled_in() -> None:
    files = rendering.project(version=OLD, package="my_orders")

    assert [name for name, text in files.items() if "@@" in name + text] == []
    assert "Default: my_orders:registry\n" in files["template.yaml"]
    assert files["src/requirements.txt"].endswith(f"workflow-engine-aws=={OLD}\n")


def test_what_is_deployed_is_what_is_built(tmp_path: Path) -> None:
    """One list of parameters for both commands, and stacks that are called after the project."""
    configuration = tomllib.loads(rendering.project(version=OLD, package="my_orders")["samconfig.toml"])
    parts = {name: part for name, part in configuration.items() if isinstance(part, dict)}

    assert {part["global"]["parameters"]["stack_name"] for part in parts.values()} == {
        "my-orders",
        "my-orders-dev",
        "my-orders-prod",
    }
    for part in parts.values():
        assert {name for name, command in part.items() if "parameter_overrides" in command["parameters"]} <= {"global"}
        assert part["deploy"]["parameters"]["tags"].startswith("application=my-orders")


def test_the_message_that_it_brings_is_one(tmp_path: Path) -> None:
    event = json.loads(rendering.project(version=OLD, package="orders")["events/run-create.json"])
    (record,) = event["Records"]

    assert record["md5OfBody"] == hashlib.md5(record["body"].encode()).hexdigest()
    assert json.loads(record["body"])["workflow_id"] == "greeting"


@pytest.mark.parametrize("name", ["orders.txt", ".env", "template.yaml", "src", ".github"])
def test_a_folder_that_has_something_stays_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    with pytest.raises(FolderNotEmptyError, match=f"'{name}'"):
        begin(tmp_path)

    assert names_in(tmp_path) == [name]


def test_what_is_there_is_said_and_not_all_of_it_where_it_is_much(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / f"file-{number:02}").touch()

    with pytest.raises(FolderNotEmptyError) as raised:
        begin(tmp_path)

    assert "'file-00', 'file-01'" in str(raised.value)
    assert "and 15 more" in str(raised.value)
    assert len(raised.value.found) == 25


def test_a_repository_an_environment_and_an_editors_settings_are_nothing(tmp_path: Path) -> None:
    for name in (".git", ".vscode", "any-name"):
        (tmp_path / name).mkdir()
    (tmp_path / "any-name" / "pyvenv.cfg").touch()
    (tmp_path / ".python-version").write_text("3.13\n")

    begin(tmp_path)

    assert (tmp_path / "template.yaml").is_file()
    assert (tmp_path / ".python-version").read_text() == "3.13\n"


def test_a_name_that_is_no_package_makes_not_even_the_folder(tmp_path: Path) -> None:
    with pytest.raises(PackageNameError):
        begin(tmp_path / "orders", package="my-orders")

    assert names_in(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "link", "below-a-file"])
def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "link":
        place.symlink_to(tmp_path / "nowhere" / "at" / "all")
    else:
        place.write_text("mine")

    with pytest.raises(ProjectFileError, match="cannot be written"):
        begin(place / "orders" if kind == "below-a-file" else place)

    assert names_in(tmp_path) == ["place"]


def test_a_name_that_no_system_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectFileError, match="cannot be written"):
        begin(tmp_path / ("x" * 5000))


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("at", range(20))
@pytest.mark.parametrize("there", [True, False])
def test_whatever_interrupts_leaves_nothing_or_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], at: int, there: bool
) -> None:
    """Each request to the file system is where it ends once."""
    folder = tmp_path / "new" / "orders"
    if there:
        folder.mkdir(parents=True)
        (folder / ".git").mkdir()
    before, calls = names_in(tmp_path), iter(range(1000))
    for name in ("write_text", "rename"):
        working = getattr(Path, name)

        def failing(path: Path, *args: object, working: object = working, **extra: object) -> object:
            if next(calls) == at:
                raise error("in the middle")
            return working(path, *args, **extra)  # type: ignore[operator]

        monkeypatch.setattr(Path, name, failing)

    try:
        begun = begin(folder)
    except (KeyboardInterrupt, ProjectFileError):
        assert names_in(tmp_path) == before
    else:
        assert set(begun.files) <= set(names_in(folder))
        assert not [path for path in folder.iterdir() if path.name.startswith(".workflow-engine")]
