"""The template of a new project is the engine's own."""

from pathlib import Path

import template as script
from workflow_engine.local.intrinsics import load_yaml
from workflow_engine.scaffold import rendering
from workflow_engine.scaffold.marks import take_apart

ROOT = Path(__file__).parents[3]
OWN = (ROOT / "template.yaml").read_text()
PARTS = ["parameters", "conditions", "environment", "resources", "outputs"]


def test_the_template_at_the_root_is_what_everybody_gets() -> None:
    """`make template` writes it."""
    assert script.rendered() == OWN


def test_they_differ_in_where_the_workflows_are_and_in_nothing_else() -> None:
    mine = rendering.template(version="0.1.0", workflows="orders:registry").text()
    different = [
        (own, other) for own, other in zip(OWN.splitlines()[1:], mine.splitlines()[1:], strict=True) if own != other
    ]

    assert different == [("    Default: workflows:registry", "    Default: orders:registry")]


def test_a_part_of_the_users_is_in_each_place_where_something_may_be_added() -> None:
    assert list(take_apart(OWN, "template.yaml").parts) == PARTS


def test_the_parts_have_nothing_in_them_but_comments() -> None:
    parts = take_apart(OWN, "template.yaml").parts

    assert [line for part in parts.values() for line in part.splitlines() if not line.lstrip().startswith("#")] == []


def test_the_examples_in_them_are_right(tmp_path: Path) -> None:
    """Somebody takes the signs away."""
    there = take_apart(OWN, "template.yaml")
    uncommented = {
        name: "".join(
            f"{line.replace('# ', '', 1)}\n"
            for line in part.splitlines()
            if ": " in line or line.rstrip().endswith(":") or "- " in line
            if not line.strip().endswith(("needs:", "name."))
        )
        for name, part in there.parts.items()
    }
    document = load_yaml(
        rendering.template(
            version="0.1.0",
            workflows="orders:registry",
            mine=type(there)(header=there.header, parts=uncommented, rest=there.rest),
        ).text()
    )

    assert document["Globals"]["Function"]["Environment"]["Variables"]["GREETING"] == "Hello"
    assert document["Resources"]["Orders"]["Type"] == "AWS::DynamoDB::Table"
    assert document["Resources"]["JobMayReadOrders"]["Properties"]["RoleName"] == {"Ref": "JobRole"}
