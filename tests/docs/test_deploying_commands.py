"""The commands of other people's programs that the pages show: options that exist, parameters and files of this project."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence

import pytest
from botocore import xform_name
from botocore.exceptions import UnknownServiceError
from botocore.session import get_session

from tests.docs.pages import ROOT, Page, command_lines, mentions, pages
from workflow_engine.local.intrinsics import load_yaml

TEMPLATE = load_yaml((ROOT / "template.yaml").read_text())
CONFIGURATION = tomllib.loads((ROOT / "samconfig.toml").read_text())
PAGES = [page for page in pages() if command_lines(page) or mentions(page)]
# Of SAM CLI 1.170; tests/bundle/test_build.py asks the installed one whether it still has them.
SAM_OPTIONS: Mapping[str, frozenset[str]] = {
    "build": frozenset({"--config-env", "--parameter-overrides", "--use-container"}),
    "deploy": frozenset({"--config-env", "--parameter-overrides", "--stack-name", "--region", "--profile"}),
    "delete": frozenset({"--config-env", "--stack-name", "--region", "--profile"}),
    "local invoke": frozenset({"--event", "--env-vars", "--add-host", "--parameter-overrides", "--config-env"}),
    "validate": frozenset({"--lint", "--config-env"}),
}
# AWS CLI command reference: options of every command, and the commands of `aws s3`, which are no operations.
AWS_GLOBAL = {"--region", "--profile", "--output", "--query", "--no-cli-pager"}
AWS_S3 = {"rm": {"--recursive"}, "rb": {"--force"}, "cp": {"--recursive"}, "ls": {"--recursive"}}


def commands(page: Page, program: str) -> Iterator[list[str]]:
    return (words[1:] for words in command_lines(page) if words[0] == program)


def options(words: Sequence[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def values(words: Sequence[str], option: str) -> list[str]:
    """What follows *option*, up to the next one."""
    if option not in words:
        return []
    following = words[words.index(option) + 1 :]
    ends = [place for place, word in enumerate(following) if word.startswith("--")]
    return list(following[: min(ends, default=None)])


def of_sam(words: Sequence[str]) -> str:
    """The command of SAM that *words* begin with."""
    return next((name for name in SAM_OPTIONS if list(words)[: len(name.split())] == name.split()), " ".join(words[:2]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_sam_has_the_commands_and_options_of_a_page(page: Page) -> None:
    unknown = [
        (words, option)
        for words in (*commands(page, "sam"), *(words[1:] for words in mentions(page) if words[0] == "sam"))
        for option in options(words) or {""}
        if of_sam(words) not in SAM_OPTIONS or option not in {*SAM_OPTIONS[of_sam(words)], ""}
    ]

    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_to_sam_is_in_the_project(page: Page) -> None:
    for words in commands(page, "sam"):
        assert {name for name in values(words, "--config-env") if name not in CONFIGURATION} == set()
        assert {name for name in values(words, "--event") if not (ROOT / name).is_file()} == set()
        invoked = words[2:3] if words[:2] == ["local", "invoke"] and words[2:] and words[2][0] != "-" else []
        assert {name for name in invoked if name not in TEMPLATE["Resources"]} == set()
        stacks = {
            part["global"]["parameters"]["stack_name"] for part in CONFIGURATION.values() if isinstance(part, dict)
        }
        assert set(values(words, "--stack-name")) <= stacks


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_parameter_that_a_page_sets_is_the_templates_and_has_a_value_that_it_takes(page: Page) -> None:
    set_by = [("sam", "--parameter-overrides"), ("workflow-engine", "--parameter")]
    pairs = [
        pair
        for program, option in set_by
        for words in commands(page, program)
        for place, word in enumerate(words)
        if word == option
        for pair in (values(words[place:], option) if program == "sam" else [words[place + 1]])
    ]

    for pair in pairs:
        name, _, value = pair.partition("=")
        assert name in TEMPLATE["Parameters"], pair
        assert value in map(str, TEMPLATE["Parameters"][name].get("AllowedValues", [value])), pair


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_has_a_reader_replace_the_parameters_of_a_stack(page: Page) -> None:
    """`--parameter-overrides` takes the place of samconfig's whole list, and what is left out gets its default."""
    assert [words for words in commands(page, "sam") if words[0] == "deploy" and "--parameter-overrides" in words] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_deploys_was_built_with_the_same_parameters(page: Page) -> None:
    built: list[str] = []
    for words in commands(page, "sam"):
        if words[0] == "build":
            built = values(words, "--config-env")
        elif words[0] == "deploy" and "--config-env" in words:
            assert values(words, "--config-env") == built, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_aws_has_the_operations_and_options_of_a_page(page: Page) -> None:
    assert [problem for words in commands(page, "aws") if (problem := aws_problem(words))] == []


def aws_problem(words: Sequence[str]) -> str | None:
    """Why the AWS CLI would refuse *words*: it makes its commands from the models that botocore has."""
    service, command, *rest = words
    if service == "s3":
        known = AWS_S3.get(command)
    else:
        try:
            model = get_session().get_service_model(service)
        except UnknownServiceError as error:
            return str(error)
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        shape = model.operation_model(operations[command]).input_shape if command in operations else None
        known = {f"--{name}" for member in shape.members for name in names_of(member)} if shape else None
        needed = {f"--{xform_name(member, '-')}" for member in (shape.required_members if shape else ())}
        if known and (missing := needed - options(rest)):
            return f"aws {service} {command}: without {sorted(missing)}"
    if known is None:
        return f"aws {service} {command}: no such command"
    unknown = options(rest) - known - AWS_GLOBAL
    return f"aws {service} {command}: no {sorted(unknown)}" if unknown else None


def names_of(member: str) -> tuple[str, str]:
    """An option, and what turns it off where it is a switch."""
    name = xform_name(member, "-")
    return name, f"no-{name}"


# A planted mistake is seen


@pytest.mark.parametrize(
    "line",
    [
        "dynamodb delete-tabel --table-name t",
        "dynamodb delete-table --tabel-name t",
        "dynamodb delete-table",
        "dynamoddb delete-table --table-name t",
        "s3 remove s3://b",
    ],
)
def test_a_command_that_aws_has_not_is_seen(line: str) -> None:
    assert aws_problem(line.split())


def test_the_pages_have_commands_of_all_these_programs() -> None:
    shown = {words[0] for page in PAGES for words in command_lines(page)}

    assert {"aws", "make", "sam", "workflow-engine"} <= shown
