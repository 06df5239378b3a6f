"""Whether a model gives the same value whenever it reads the same JSON.

It does not where a default is another one each time (``uuid4``, ``now``), or where code of the model's
own may make it so.
"""

import types
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

# Made anew each time, and always equal.
_CONTAINERS = (list, dict, set, frozenset, tuple, str, int, float, bool, bytes)


def is_steady(model: type[BaseModel]) -> bool:
    """Whether all defaults of *model* are always the same. Where code decides, the answer is no."""
    decorators = model.__pydantic_decorators__
    has_code = decorators.model_validators or model.model_post_init is not BaseModel.model_post_init
    checked = (field for field in model.model_fields.values() if not field.is_required() and field.validate_default)
    return not has_code and not varying(model.model_fields.items()) and not any(checked)


def varying(fields: Iterable[tuple[str, FieldInfo]]) -> list[str]:
    """The names of those *fields* whose default may be another one each time."""
    return [name for name, field in fields if not _is_constant(field)]


def _is_constant(field: FieldInfo) -> bool:
    factory: Any = field.default_factory
    if factory is None:
        # An instance is made once a process, with the defaults of that moment.
        return not isinstance(field.default, BaseModel) or is_steady(type(field.default))
    if isinstance(factory, type):
        return factory in _CONTAINERS or (issubclass(factory, BaseModel) and is_steady(factory))
    return isinstance(factory, types.FunctionType) and _names_nothing(factory.__code__)


def _names_nothing(code: types.CodeType) -> bool:
    """Whether a function has nothing from outside of itself: ``lambda: ["a"]`` is always the same."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    names = code.co_names or code.co_freevars or code.co_argcount
    return not names and all(not one.co_names for one in inner)
