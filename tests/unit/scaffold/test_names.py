"""A package's name is one that Python, CloudFormation and the functions' other packages leave room for."""

import keyword
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bundle.test_imports import PACKAGES
from workflow_engine.scaffold import names
from workflow_engine.scaffold.errors import PackageNameError

# CloudFormation's rule for the name of a stack (API reference, CreateStack), with room for "-prod".
STACK = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,122}")


@pytest.mark.parametrize("name", ["orders", "a", "Orders2", "my_app", "x" * names.MAX_NAME])
def test_a_name_of_a_package_is_taken_as_it_is(name: str) -> None:
    assert names.checked(name) == name


@pytest.mark.parametrize(
    ("name", "proposed"),
    [
        ("class", "class_app"),
        ("match", "match_app"),
        ("2fast", "app_2fast"),
        ("my-app", "my_app"),
        ("my app", "my_app"),
        ("my.app", "my_app"),
        ("_private", "private"),
        ("json", "json_app"),
        ("Tests", "tests_app"),
        ("workflow_engine", "workflow_engine_app"),
        ("注文", "app"),
        ("café-menu", "caf_menu"),
        ("", "app"),
        ("../../etc", "etc"),
        ("a\nb", "a_b"),
        ("x" * 300, "x" * names.MAX_NAME),
        ("-", "app"),
    ],
)
def test_another_is_refused_with_one_that_would_do(name: str, proposed: str) -> None:
    with pytest.raises(PackageNameError) as raised:
        names.checked(name)

    assert raised.value.proposed == proposed
    assert names.checked(proposed) == proposed
    assert len(str(raised.value)) < 400


@given(st.text(max_size=200))
def test_whatever_a_folder_is_called_a_package_can_be_called_after_it(text: str) -> None:
    name = names.proposed(text)

    assert name.isidentifier()
    assert not keyword.iskeyword(name)
    assert len(name) <= names.MAX_NAME
    assert names.problem_of(name) is None
    assert STACK.fullmatch(names.application_of(name))


def test_what_the_functions_import_is_taken() -> None:
    """A package of the project's of that name would be imported in its place."""
    assert names.TAKEN | sys.stdlib_module_names >= PACKAGES
