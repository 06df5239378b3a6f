import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from workflow_engine.model.json_values import MAX_DEPTH, AnyJson, JsonObject, to_json


class Document(BaseModel):
    text: str


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "\ud800", {"\udfff": 1}, {1, 2}, b"x", object()])
def test_what_is_no_json_is_refused(value: object) -> None:
    for wrapped in (value, [value], {"a": {"b": [value]}}):
        with pytest.raises(ValueError):  # noqa: PT011 - the reasons differ
            to_json(wrapped)
        with pytest.raises(ValidationError):
            TypeAdapter(AnyJson).validate_python(wrapped)


def test_depth_is_bounded() -> None:
    assert to_json(nested(MAX_DEPTH)) == b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    with pytest.raises(ValueError, match="nested deeper"):
        to_json(nested(MAX_DEPTH + 1))
    with pytest.raises(ValueError, match="nested deeper"):
        to_json(nested(100_000))


def test_what_holds_itself_is_refused() -> None:
    ring: dict[str, Any] = {}
    ring["ring"] = ring
    with pytest.raises(ValueError, match="nested deeper"):
        to_json(ring)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_json_is_read_back_as_it_was(value: object) -> None:
    assert json.loads(to_json(value)) == value


def test_a_model_is_taken_as_its_json() -> None:
    assert TypeAdapter(JsonObject).validate_python(Document(text="a")) == {"text": "a"}
    assert TypeAdapter(AnyJson).validate_python(Document(text="a")) == {"text": "a"}
    with pytest.raises(ValidationError):
        TypeAdapter(JsonObject).validate_python(["no object"])
