"""Names that nobody knows, and the nearest that somebody does."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import AliasChoices, AliasPath, BaseModel, RootModel
from pydantic.fields import FieldInfo

from workflow_engine.authoring.outcomes import is_model
from workflow_engine.authoring.signatures import union_members
from workflow_engine.model.problems import problem_at


def suggestion(name: str, known: Iterable[str]) -> str:
    """Words that name what *name* was probably meant to be, to go behind what is wrong with it."""
    # Imported by who misspells, not by each function that starts.
    from difflib import get_close_matches

    nearest = get_close_matches(name, list(known), n=1)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""


def unknown_fields(model: type[BaseModel], given: object, path: tuple[object, ...] = ()) -> list[str]:
    """What *given* names that *model*, and the models in it, do not have: one line each.

    Nothing of a model that allows extra fields or makes its fields of others, nor where it is a
    guess which model is meant.
    """
    if issubclass(model, RootModel):
        return _inside(model.model_fields["root"].annotation, given, path)
    if not isinstance(given, Mapping) or _reads_otherwise(model):
        return []
    fields = {name: field for known, field in model.model_fields.items() for name in _names(known, field)}
    found: list[str] = []
    for name, value in given.items():
        if name in fields:
            found += _inside(fields[name].annotation, value, (*path, name))
        elif model.model_config.get("extra") != "allow":
            found.append(problem_at((*path, name), f"there is no such field{suggestion(str(name), fields)}"))
    return found


def _reads_otherwise(model: type[BaseModel]) -> bool:
    return any(one.info.mode != "after" for one in model.__pydantic_decorators__.model_validators.values())


def _inside(annotation: Any, value: object, path: tuple[object, ...]) -> list[str]:
    members = [member for member in union_members(annotation) if is_model(member) or get_args(member)]
    if len(members) != 1:
        return []
    member = members[0]
    if is_model(member):
        return unknown_fields(member, value, path)
    if get_origin(member) is dict and isinstance(value, Mapping):
        return [line for key, one in value.items() for line in _inside(get_args(member)[1], one, (*path, key))]
    if get_origin(member) is list and isinstance(value, list):
        return [line for index, one in enumerate(value) for line in _inside(get_args(member)[0], one, (*path, index))]
    return []


def _names(known: str, field: FieldInfo) -> Iterator[str]:
    yield known
    alias = field.validation_alias
    for choice in alias.choices if isinstance(alias, AliasChoices) else (alias,):
        if isinstance(choice, AliasPath):
            yield str(choice.path[0])
        elif choice is not None:
            yield choice
