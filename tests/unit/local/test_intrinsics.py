"""CloudFormation's functions."""

from typing import Any

import pytest

from workflow_engine.local.errors import TemplateError
from workflow_engine.local.intrinsics import NO_VALUE, Resolver, load_yaml, names_in

VALUES = {"Name": "box", "Count": 3, "AWS::Region": "eu-north-1", "AWS::NoValue": NO_VALUE}


def ref(name: str) -> Any:
    if name not in VALUES:
        raise TemplateError(where=name, problem="unknown")
    return VALUES[name]


RESOLVER = Resolver(
    ref=ref,
    attribute=lambda name, attribute: f"<{name}/{attribute}>",
    conditions={
        "Is": {"Fn::Equals": ["a", "a"]},
        "IsNot": {"Fn::Not": [{"Condition": "Is"}]},
        "Both": {"Fn::And": [{"Condition": "Is"}, {"Condition": "IsNot"}]},
        "Either": {"Fn::Or": [{"Condition": "Is"}, {"Condition": "IsNot"}]},
        "Number": {"Fn::Equals": [{"Ref": "Count"}, "3"]},
    },
    mappings={"Longer": {"3": {"Seconds": 63}}},
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!Ref Name", "box"),
        ("!GetAtt Table.Arn", "<Table/Arn>"),
        ("!GetAtt Table.Stream.Arn", "<Table/Stream.Arn>"),
        ("!GetAtt [Table, Arn]", "<Table/Arn>"),
        ('!Sub "${Name}-${Table.Arn}-${!Literal}"', "box-<Table/Arn>-${Literal}"),
        ('!Sub ["${Own}/${AWS::Region}", {Own: !Ref Count}]', "3/eu-north-1"),
        ("!If [Is, 1, 2]", 1),
        ("!If [IsNot, 1, 2]", 2),
        ("!If [Both, 1, 2]", 2),
        ("!If [Either, 1, 2]", 1),
        ("!If [Number, 1, 2]", 1),
        ("!FindInMap [Longer, !Ref Count, Seconds]", 63),
        ('!Join [",", [!Ref Name, b]]', "box,b"),
        ('!Select [1, !Split [",", "a,b,c"]]', "b"),
        ("{a: !Ref AWS::NoValue, b: [!Ref AWS::NoValue, c]}", {"b": ["c"]}),
        ("{Fn::GetAtt: [Table, Arn]}", "<Table/Arn>"),
    ],
)
def test_a_function_is_worked_out(text: str, value: Any) -> None:
    assert RESOLVER.resolve(load_yaml(text)) == value


@pytest.mark.parametrize(
    "text",
    [
        "!Ref Nobody",
        "!ImportValue other",
        "!If [Unknown, 1, 2]",
        "!Select [9, [a]]",
        "!Select [x, [a]]",
        "!If [Is]",
        "!FindInMap [Longer, 4, Seconds]",
    ],
)
def test_what_cannot_be_worked_out_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        RESOLVER.resolve(load_yaml(text))


def test_no_branch_is_worked_out_that_is_not_taken() -> None:
    assert RESOLVER.resolve(load_yaml("!If [Is, here, !Ref Nobody]")) == "here"


@pytest.mark.parametrize("text", ["a: [", "!!python/object/apply:os.getcwd []", "{a: !!python/name:os.system }"])
def test_what_is_no_plain_yaml_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        load_yaml(text)


def test_the_names_that_a_value_refers_to_are_found() -> None:
    value = load_yaml('{a: !Ref One, b: [!GetAtt Two.Arn, {c: !Sub "${Three.Arn} ${Four} ${!Five}"}]}')

    assert names_in(value) >= {"One", "Two", "Three", "Four"}
