"""What a project's package may be called, and what its stacks are called after it."""

import keyword
import re
import sys

from workflow_engine.scaffold.errors import PackageNameError

# As part of the names of stacks ("-prod" is added) and of what they are made of.
MAX_NAME = 60
FALLBACK = "app"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
# What the functions import lies beside the project's own package on `sys.path`, and so do its tests.
TAKEN = frozenset(
    {
        "annotated_types",
        "aws_lambda_powertools",
        "aws_xray_sdk",
        "boto3",
        "botocore",
        "dateutil",
        "events",
        "jmespath",
        "moto",
        "pydantic",
        "pydantic_core",
        "pynamodb",
        "pytest",
        "rich",
        "s3transfer",
        "six",
        "src",
        "tests",
        "typer",
        "typing_extensions",
        "typing_inspection",
        "urllib3",
        "workflow_engine",
        "wrapt",
        "yaml",
    }
)


def problem_of(name: str) -> str | None:
    """Why a package cannot be called *name*, if it cannot."""
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return "is a word of Python's and no name of a package"
    if not _NAME.fullmatch(name):
        return "is no name of a package: letters, digits and underscores, beginning with a letter"
    if len(name) > MAX_NAME:
        return f"has {len(name)} characters, and {MAX_NAME} are the most"
    if name.lower() in TAKEN or name.lower() in sys.stdlib_module_names:
        return "is the name of a package that there is already"
    return None


def mended(text: str) -> str:
    """*text* in small letters, with underscores in the place of dashes and whatever else no name has."""
    return _NOT_IN_NAMES.sub("_", text.lower()).strip("_")


def proposed(text: str) -> str:
    """A name that a package can have, made of *text*."""
    name = mended(text)[:MAX_NAME].strip("_")
    if not name:
        return FALLBACK
    if name[0].isdigit():
        name = f"{FALLBACK}_{name}"[:MAX_NAME].strip("_")
    return name if problem_of(name) is None else f"{name}_{FALLBACK}"


def checked(name: str) -> str:
    """*name*, which a package can have.

    Raises:
        PackageNameError: it cannot.
    """
    if (problem := problem_of(name)) is not None:
        raise PackageNameError(name=name, problem=problem, proposed=proposed(name))
    return name


def application_of(package: str) -> str:
    """What the project of *package* and its stacks are called: CloudFormation takes no underscores."""
    return re.sub("_+", "-", package.lower()).strip("-")
