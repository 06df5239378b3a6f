"""What an attacker, or a bug elsewhere, may send."""

from typing import Any

from hypothesis import strategies as st

from workflow_engine.model.commands import Command

# Lone surrogates and NUL included: Python has them, JSON escapes bring them in, UTF-8 has none of the former.
TEXTS = st.text(st.characters(), max_size=40) | st.sampled_from(
    ["\ud800", "a\x00b", "\n{}", "\r\n", "\u2028", "\ufffe", "R#other", "runs/other/", "..", "../..", "%2e%2e", "$(id)"]
)
NUMBERS = st.integers() | st.floats(allow_nan=True, allow_infinity=True) | st.just(10**400) | st.just(-(2**63) - 1)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)
WIRE_TYPES = sorted(model.model_fields["type"].default for model in Command.__args__)
FIELD_NAMES = sorted(
    {name for model in Command.__args__ for name in model.model_fields}
    | {"runId", "workflowRunId", "idempotencyKey", "metadata", "__class__", "model_config"}
)
# Something that is nearly right gets further than noise does.
NEARLY_COMMANDS = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    st.sampled_from([*WIRE_TYPES, "run.claimPending", "plugin.replayDLQ"]) | SCALARS,
    st.dictionaries(
        st.sampled_from(FIELD_NAMES), VALUES | st.sampled_from(["run-1", "chain", 1, {"value": 1}]), max_size=8
    ),
)
# Above the engine's depth and above what a naive reader's stack takes.
DEEP = st.integers(90, 20_000).map(lambda depth: "[" * depth + "]" * depth)

CRAFTED_IDS = (
    st.sampled_from(
        [
            "",
            "#",
            "a#b",
            "a/b",
            "../other",
            "..",
            ".",
            "a\n",
            "a\nb",
            "a\x00",
            "other/",
            "R#other",
            "a b",
            "a" * 65,
            "-a",
            "\ud800",
            "a\u2028",
            "a%2fb",
            "а",  # noqa: RUF001
            "١",  # noqa: RUF001
        ]
    )
    | TEXTS
)


def nested(depth: int) -> Any:
    """A list in a list, *depth* times."""
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value
