"""docs/security.md says of each role what template.yaml says, and why."""

import re
from pathlib import Path

import pytest

from tests.bundle.stack import Json, as_list, of_type, statements

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
# What stands for the ARN of a schedule group's schedules.
SCHEDULES = "arn:${AWS::Partition}:scheduler:${AWS::Region}:${AWS::AccountId}:schedule/"
# And for that of the stack itself, whatever its id is.
STACK = "arn:${AWS::Partition}:cloudformation:${AWS::Region}:${AWS::AccountId}:stack/${AWS::StackName}/*"
Row = tuple[str, frozenset[str], frozenset[str]]


def named(resource: object) -> str:
    """A resource as the page names it: by its logical id, and what lies below it."""
    if isinstance(resource, dict) and "Fn::GetAtt" in resource:
        return str(resource["Fn::GetAtt"][0])
    text = resource["Fn::Sub"] if isinstance(resource, dict) else str(resource)
    if text == STACK:
        return "Stack"
    return re.sub(r"\$\{(\w+)(\.Arn)?\}", r"\1", text.removeprefix(SCHEDULES))


def granted(resources: Json, name: str) -> set[Row]:
    """What the role, or the policy that is added to one, allows."""
    alone = resources[name]["Properties"].get("PolicyDocument")
    return {
        (
            statement["Sid"],
            frozenset(as_list(statement["Action"])),
            frozenset(map(named, as_list(statement["Resource"]))),
        )
        for statement in map(wanted, alone["Statement"] if alone else statements(resources, name))
    }


def wanted(statement: Json) -> Json:
    """A statement; of one that is there under a condition, what it is then."""
    found: Json = statement["Fn::If"][1] if "Fn::If" in statement else statement
    return found


def section(page: str, role: str) -> str:
    return page.partition(f"### {role}\n")[2].partition("\n#")[0]


def described(page: str, role: str) -> dict[Row, str]:
    """The rows of the role's table, and the reasons in them."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section(page, role).splitlines()
        if "|" in line
    ]
    return {(sid, frozenset(does.split()), frozenset(on.split())): why for sid, does, on, why in rows[2:]}


def test_the_page_has_a_table_for_every_role_and_policy(resources: Json) -> None:
    kinds = ("AWS::IAM::Role", "AWS::IAM::RolePolicy", "AWS::IAM::ManagedPolicy")
    found = {name for kind in kinds for name in of_type(resources, kind)}

    assert set(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)) == found
    assert not {"AWS::IAM::Policy", "AWS::IAM::User"} & {resource["Type"] for resource in resources.values()}


@pytest.mark.parametrize(
    "role",
    [
        "JobRole",
        "JobArchivePolicy",
        "JobTracePolicy",
        "TickRole",
        "TickArchivePolicy",
        "SchedulerRole",
        "StarterPolicy",
        "ReaderPolicy",
        "OperatorPolicy",
    ],
)
def test_the_table_says_what_the_role_may_do_and_why(resources: Json, role: str) -> None:
    rows = described(PAGE, role)

    assert rows.keys() == granted(resources, role)
    assert all(len(why) > 10 for why in rows.values())


def test_an_action_that_the_page_forgets_is_seen(resources: Json) -> None:
    page = PAGE.replace("s3:DeleteObject ", "")

    assert described(page, "JobRole").keys() != granted(resources, "JobRole")


def test_the_tests_that_it_names_exist() -> None:
    named_tests = set(re.findall(r"`(tests/[\w/.]+)`", PAGE))

    assert len(named_tests) > 8
    assert {name for name in named_tests if not (ROOT / name).exists()} == set()


def test_an_exception_from_checkov_has_its_reason_beside_the_resource() -> None:
    skips = re.findall(r"checkov:skip=(CKV\w+)(?::(.*))?", (ROOT / "template.yaml").read_text())

    assert skips
    assert [check for check, reason in skips if len(reason.split()) < 5] == []
