"""The reference is what the source says now, and leaves out no public name."""

import inspect

import pytest

import reference
import workflow_engine
from tests.docs.pages import pages

GENERATED = reference.pages()


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_a_page_of_the_reference_is_what_the_source_says(name: str) -> None:
    path = reference.FOLDER / name

    assert path.exists(), "run `make docs`"
    assert path.read_text() == GENERATED[name], "run `make docs`"


def test_the_reference_has_no_page_that_nobody_writes() -> None:
    assert {path.name for path in reference.FOLDER.iterdir()} == set(GENERATED)


@pytest.mark.parametrize("name", workflow_engine.__all__)
def test_a_public_name_has_a_docstring_and_a_place_in_the_reference(name: str) -> None:
    documented = "".join(page.text for page in pages() if page.name.startswith("docs/reference/"))

    assert inspect.getdoc(getattr(workflow_engine, name))
    assert f"# {name}\n" in documented or f"| `{name}` |" in documented
