"""A parameter that takes one of several models, or ``None``: what a choice or a skipped stage leaves.

The members stand side by side in one model, made once, so that whatever asks for a stage's model finds one. What is
loaded is the member's own instance: a stage gets exactly what it would get if it took that member alone.
"""

import types
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Union

from pydantic import BaseModel, RootModel, create_model

from workflow_engine.model import values

# What is given is not known to be of one of the models.
ANY_MEMBER: Any = object()


class OneOf(RootModel[Any]):
    """Stands for its *members*, one of which is meant; ``None`` is the value ``None``."""

    members: ClassVar[tuple[type[BaseModel] | None, ...]] = ()


@lru_cache(maxsize=1024)
def _made(members: tuple[type[BaseModel] | None, ...]) -> type[BaseModel]:
    kinds = tuple(types.NoneType if member is None else member for member in members)
    annotation: Any = Union.__getitem__(kinds)
    made = create_model("OneOf", __base__=OneOf, root=(annotation, ...))
    made.members = members
    made.__qualname__ = " | ".join("None" if member is None else _name_of(member) for member in members)
    return made


def one_of(members: Iterable[type[BaseModel] | None]) -> type[BaseModel] | None:
    """The model that stands for *members*, each counted once; the member itself where it is one."""
    found = tuple(dict.fromkeys(one for member in members for one in members_of(member)))
    # ``None`` comes last, so that the same members are the same model.
    ordered = (*(member for member in found if member is not None), *(None for member in found if member is None))
    return ordered[0] if len(ordered) == 1 else _made(ordered)


def members_of(model: type[BaseModel] | None) -> tuple[type[BaseModel] | None, ...]:
    """What *model* stands for; itself where it stands for nothing else."""
    if model is not None and issubclass(model, OneOf):
        return model.members
    return (model,)


def load(model: type[BaseModel] | None, data: bytes, given: Any = ANY_MEMBER) -> BaseModel | None:
    """The value of *model* that JSON *data* stands for, an instance of one of its members. *given* is the model of which
    *data* was written, where that is known: the member that takes it is the one that is meant.

    Raises:
        UnfitValueError: it does not validate.
    """
    members = members_of(model)
    if len(members) == 1:
        return values.load(model, data)
    if data == values.NOTHING and None in members:
        return None
    taker = meant([member for member in members if member is not None], given)
    if taker is not None:
        return values.load(taker, data)
    loaded = values.load(model, data)
    return loaded.root if isinstance(loaded, OneOf) else loaded


def dump(model: type[BaseModel] | None, value: object) -> tuple[bytes, BaseModel | None]:
    """The JSON of *value*, an instance of one of the members of *model*, and what a reader of it gets.

    Raises:
        UnfitValueError: it is none, or does not survive JSON.
    """
    members = members_of(model)
    fitting = [member for member in members if (value is None if member is None else isinstance(value, member))]
    return values.dump(fitting[0] if fitting else members[0], value)


def meant(members: Sequence[type[BaseModel]], given: Any) -> type[BaseModel] | None:
    """Which of *members* takes what was written of the model *given*: the nearest. ``None`` where nobody can say."""
    if len(members) == 1:
        return members[0]
    if not isinstance(given, type):
        return None
    # Itself, before a class that it has inherited from.
    return next((one for base in given.__mro__ for one in members if one is base), None)


def _name_of(model: type[BaseModel]) -> str:
    return model.__qualname__.rpartition("<locals>.")[2]
