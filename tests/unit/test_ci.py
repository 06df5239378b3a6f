"""What runs on the forge is what ``.ci/run`` runs."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())


def parts_of_run() -> set[str]:
    """The targets of make that ``.ci/run`` calls."""
    script = (ROOT / ".ci/run").read_text()
    found = set(re.findall(r"^make (\S+)$", script, re.MULTILINE))
    versions = re.search(r"for version in ([\d. ]+);", script)
    assert versions is not None
    return found | {f"unit-{version}" for version in versions[1].split()}


def test_each_part_is_a_job_and_each_job_a_part() -> None:
    assert set(WORKFLOW["jobs"]["part"]["strategy"]["matrix"]["part"]) == parts_of_run()


def test_each_part_is_a_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"^([a-z][a-z0-9.%-]*):", makefile, re.MULTILINE))

    assert {re.sub(r"-3\.\d+$", "-3.%", part) for part in parts_of_run()} <= named


def test_a_job_may_read_the_repository_and_nothing_else() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}


def test_the_interpreter_of_a_clone_is_the_floor() -> None:
    """Whoever writes for the newest one alone is told at once; the runtime's is tried by ``unit-3.13``."""
    floor = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    runtime = re.search(r"Runtime: python([\d.]+)", (ROOT / "template.yaml").read_text())

    assert floor is not None
    assert runtime is not None
    assert (ROOT / ".python-version").read_text().split() == [floor[1]]
    assert {f"unit-{floor[1]}", f"unit-{runtime[1]}"} <= parts_of_run()
