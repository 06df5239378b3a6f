import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from workflow_engine.model.ids import Name, RunIdText, SignalName, content_hash, digest, is_name, run_id_for

# What separates the parts of a storage key, ends a line, or looks like a path.
SEPARATORS = ["#", "/", "\\", "\n", "\r", "\0", " ", "..", "%23", "é", "\u2028", ""]

ADAPTERS: dict[str, TypeAdapter[str]] = {
    "name": TypeAdapter(Name),
    "run id": TypeAdapter(RunIdText),
    "signal": TypeAdapter(SignalName),
}


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("kind", ["name", "run id", "signal"])
def test_no_id_holds_a_separator(kind: str, separator: str) -> None:
    adapter = ADAPTERS[kind]
    for text in (separator, f"{separator}a", f"a{separator}") if separator not in ("", "..") else (separator,):
        with pytest.raises(ValidationError):
            adapter.validate_python(text)


@pytest.mark.parametrize("separator", SEPARATORS)
def test_no_name_holds_a_separator(separator: str) -> None:
    assert not is_name(separator)
    assert is_name("a")
    assert not is_name(f"a{separator or '#'}")


@given(st.text())
def test_a_name_is_a_name_whoever_asks(text: str) -> None:
    adapter: TypeAdapter[str] = TypeAdapter(Name)
    try:
        adapter.validate_python(text)
    except ValidationError:
        assert not is_name(text)
    else:
        assert is_name(text)


def test_ids_have_64_characters_at_the_most() -> None:
    assert is_name("a" * 64)
    assert not is_name("a" * 65)
    assert TypeAdapter(RunIdText).validate_python("7" * 64) == "7" * 64
    with pytest.raises(ValidationError):
        TypeAdapter(RunIdText).validate_python("7" * 65)


def test_a_run_id_is_the_same_for_the_same_key() -> None:
    first = run_id_for("analysis", "order-17")
    assert first == run_id_for("analysis", "order-17")
    assert TypeAdapter(RunIdText).validate_python(first) == first
    assert len(first) == 26


@given(st.lists(st.text(), min_size=1, max_size=3), st.lists(st.text(), min_size=1, max_size=3))
def test_a_digest_knows_the_borders_of_its_parts(first: list[str], second: list[str]) -> None:
    assert (digest(*first) == digest(*second)) == (first == second)


def test_a_key_of_one_workflow_is_not_a_key_of_another() -> None:
    ids = {run_id_for(workflow, key) for workflow, key in (("a", "bc"), ("ab", "c"), ("abc", ""), ("a", "b,c"))}
    assert len(ids) == 4


def test_a_digest_may_be_longer() -> None:
    assert digest("a", length=52).startswith(digest("a"))
    assert len(digest("a", length=52)) == 52


def test_content_is_the_same_in_any_order_of_its_keys() -> None:
    assert content_hash({"a": 1, "b": [1, {"c": None, "d": "é"}]}) == content_hash(
        {"b": [1, {"d": "é", "c": None}], "a": 1}
    )
    assert content_hash({"a": [1, 2]}) != content_hash({"a": [2, 1]})
    assert content_hash({"a": 1}) != content_hash({"a": "1"})
