"""Reads CloudFormation's YAML, and works out its functions. Pure.

``!Ref x`` becomes ``{"Ref": x}`` and so on, as the JSON form of a template has them; ``Resolver``
replaces them by values. Only what a template of this engine may need is known; the rest is refused
by name, so that local mode never goes on with a value that nobody has worked out.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from workflow_engine.local.errors import TemplateError

NO_VALUE = object()
_SUBSTITUTION = re.compile(r"\$\{(!?)([A-Za-z0-9_.:]+)\}")


# libyaml reads ten times as fast; PyYAML has it on most machines.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]  # which of the two it is, is known when it runs
    """Knows ``!Ref``, ``!GetAtt a.b`` and all other short forms of functions."""


def _short_form(loader: Any, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        raise TemplateError(where=f"!{suffix}", problem="is no function")
    if name == "Fn::GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name: value}


# The type stubs of PyYAML leave this function without types.
yaml.add_multi_constructor("!", _short_form, Loader=_Loader)


def load_yaml(text: str) -> Any:
    """The template that *text* is, its functions in their long form.

    Raises:
        TemplateError: it is no YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader: it builds plain values only
    except yaml.YAMLError as error:
        raise TemplateError(where="template", problem=" ".join(str(error).split())) from error


class Resolver:
    """Replaces functions by values. *ref* and *attribute* answer for names and for their attributes,
    *mappings* are the template's."""

    def __init__(
        self,
        *,
        ref: Callable[[str], Any],
        attribute: Callable[[str, str], Any],
        conditions: Mapping[str, Any],
        mappings: Mapping[str, Any] | None = None,
    ) -> None:
        self._ref, self._attribute, self._conditions = ref, attribute, conditions
        self._mappings = mappings or {}
        self._functions: Mapping[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": self.condition,
            "Fn::GetAtt": lambda value: self._attribute(value[0], value[1]),
            "Fn::Sub": self._sub,
            "Fn::If": self._if,
            "Fn::FindInMap": self._found_in_map,
            "Fn::Join": lambda value: value[0].join(str(part) for part in self.resolve(value[1])),
            "Fn::Select": lambda value: self.resolve(value[1])[int(self.resolve(value[0]))],
            "Fn::Split": lambda value: str(self.resolve(value[1])).split(value[0]),
            "Fn::Equals": lambda value: str(self.resolve(value[0])) == str(self.resolve(value[1])),
            "Fn::Not": lambda value: not self.resolve(value[0]),
            "Fn::And": lambda value: all(self.resolve(part) for part in value),
            "Fn::Or": lambda value: any(self.resolve(part) for part in value),
        }

    def resolve(self, value: Any) -> Any:
        """*value* with every function in it worked out; what is ``AWS::NoValue`` is left out.

        Raises:
            TemplateError: a name is not there, or a function is not known.
        """
        if isinstance(value, list):
            return [item for part in value if (item := self.resolve(part)) is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        name = next(iter(value), None)
        if len(value) == 1 and isinstance(name, str) and (name in self._functions or name.startswith("Fn::")):
            return self._apply(name, value[name])
        return {key: item for key, part in value.items() if (item := self.resolve(part)) is not NO_VALUE}

    def condition(self, name: str) -> bool:
        """Whether the condition of that *name* holds.

        Raises:
            TemplateError: there is none.
        """
        if name not in self._conditions:
            raise TemplateError(where=f"condition {name}", problem="is not in the template")
        return bool(self.resolve(self._conditions[name]))

    def _apply(self, name: str, value: Any) -> Any:
        if name not in self._functions:
            raise TemplateError(where=name, problem="local mode does not know this function")
        try:
            return self._functions[name](value)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise TemplateError(where=name, problem=f"cannot be worked out: {error}") from error

    def _if(self, value: Any) -> Any:
        condition, then, otherwise = value
        return self.resolve(then if self.condition(condition) else otherwise)

    def _found_in_map(self, value: Any) -> Any:
        found: Any = self._mappings
        for key in self.resolve(value):
            # A number stands for the key that is written like it.
            found = found[str(key)]
        return found

    def _sub(self, value: Any) -> str:
        text, names = (value, {}) if isinstance(value, str) else value
        return _SUBSTITUTION.sub(lambda match: self._substituted(match, names), text)

    def _substituted(self, match: re.Match[str], names: Mapping[str, Any]) -> str:
        literal, name = match[1], match[2]
        if literal:
            return "${" + name + "}"
        if name in names:
            return str(self.resolve(names[name]))
        target, _, attribute = name.partition(".")
        return str(self._attribute(target, attribute) if attribute else self._ref(name))


def names_in(value: Any) -> set[str]:
    """The names that *value* refers to, by ``Ref``, ``GetAtt`` or ``Sub``: resources, parameters and
    pseudo parameters alike."""
    if isinstance(value, list):
        return {name for part in value for name in names_in(part)}
    if not isinstance(value, dict):
        return set()
    found: set[str] = set()
    for key, part in value.items():
        if key == "Ref" and isinstance(part, str):
            found.add(part)
        elif key == "Fn::GetAtt" and isinstance(part, list):
            found.add(part[0])
        elif key == "Fn::Sub":
            text = part if isinstance(part, str) else part[0]
            found |= {match[2].partition(".")[0] for match in _SUBSTITUTION.finditer(text)}
        found |= names_in(part)
    return found
