"""Reads a stage author's function: which parameter is what, and what it may return.

What cannot be resolved is raised at once; what can be resolved but does not fit is a problem that
``build()`` reports together with all others.
"""

import inspect
import types
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from workflow_engine.authoring.context import StageContext
from workflow_engine.authoring.outcomes import NotReady, StageResult, Suspended, WaitForSignal, is_model
from workflow_engine.authoring.stage_definition import CallShape, FunctionFacts, Model, Returned
from workflow_engine.authoring.unions import one_of
from workflow_engine.errors import WorkflowDefinitionError

_NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_AWAITABLES = (Awaitable, Coroutine)
# A workflow names its stages, not the other way round: none is known while a stage is decorated.
NOT_BUILT = "(not built yet)"


def read_function(
    function: Callable[..., Any],
    *,
    role: str,
    localns: Mapping[str, Any],
    may_be_none: bool = False,
    may_be_union: bool = False,
) -> FunctionFacts:
    """What the signature of *function* says; *role* names it in problems ("stage 'embed'"). Where the value
    *may_be_none*, or *may_be_union*, its annotation may say so.

    *localns* are the names around the function, so that models defined inside another function are
    found.

    Raises:
        WorkflowDefinitionError: it is no plain function, or a name in its annotations is unknown.
    """
    if not _is_plain(function):
        raise definition_error(f"{role} must be a plain function (`def` or `async def`), not {function!r}")
    hints = _resolved_hints(function, role, localns)
    reader = _Reader(role, hints)
    value, ctx, shape = reader.parameters(inspect.signature(function))
    returned, awaited = reader.returned()
    optional = may_be_none and value is not None and reader.drop_none(value.name)
    return FunctionFacts(
        value_model=reader.value_model(value, may_be_union=may_be_union),
        config_model=reader.config_model(ctx),
        shape=shape,
        returned=returned,
        is_async=inspect.iscoroutinefunction(function) or awaited,
        problems=tuple(reader.problems),
        may_be_none=optional,
    )


def definition_error(problem: str) -> WorkflowDefinitionError:
    """The error for a stage that no workflow can use."""
    return WorkflowDefinitionError(workflow_id=NOT_BUILT, problems=[problem])


def _resolved_hints(function: Callable[..., Any], role: str, localns: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, localns=dict(localns))
    except NameError as error:
        raise definition_error(
            f"{role}: its annotations name {error.name!r}, which is not defined where the function is"
        ) from error
    except Exception as error:  # an annotation is evaluated: it may raise anything
        raise definition_error(f"{role}: its annotations cannot be read: {error}") from error


def _is_plain(function: object) -> bool:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return False
    return inspect.isfunction(function) or inspect.ismethod(function)


class _Reader:
    """Collects problems while it reads one function."""

    def __init__(self, role: str, hints: Mapping[str, Any]) -> None:
        self._role, self._hints = role, dict(hints)
        self.problems: list[str] = []

    def parameters(
        self, signature: inspect.Signature
    ) -> tuple[inspect.Parameter | None, inspect.Parameter | None, CallShape]:
        """The parameter for the value, the one for the context, and how to call with both."""
        value: inspect.Parameter | None = None
        ctx: inspect.Parameter | None = None
        context_first = False
        for parameter in signature.parameters.values():
            needed = parameter.default is inspect.Parameter.empty
            if ctx is None and self._is_context(parameter):
                ctx, context_first = parameter, value is None
            elif value is None and parameter.kind in _NAMED and (needed or ctx is None):
                value = parameter
            elif needed:
                self._problem(f"parameter {parameter.name!r} would be given nothing: a stage takes its input, then ctx")
        by_name = ctx is not None and ctx.kind is inspect.Parameter.KEYWORD_ONLY
        return (
            value,
            ctx,
            CallShape(
                wants_value=value is not None,
                wants_context=ctx is not None,
                context_first=context_first,
                context_keyword=ctx.name if ctx is not None and by_name else None,
            ),
        )

    def value_model(self, parameter: inspect.Parameter | None, *, may_be_union: bool) -> Model | None:
        """The model of the first parameter; of a union of several, what stands for one of them."""
        if parameter is None:
            return None
        if parameter.name not in self._hints:
            self._problem(f"parameter {parameter.name!r} has no annotation")
            return None
        annotation = self._hints[parameter.name]
        if annotation is types.NoneType:
            return None
        members = list(union_members(annotation))
        if not may_be_union or len(members) == 1:
            return self._model(annotation, f"parameter {parameter.name!r}")
        role = f"parameter {parameter.name!r}, a union,"
        models = [None if member is types.NoneType else self._model(member, role) for member in members]
        # What is none is a problem by now.
        return one_of(models)

    def drop_none(self, name: str) -> bool:
        """Whether the annotation of the parameter *name* says ``| None``, which is then left out of it."""
        members = list(union_members(self._hints.get(name)))
        others = [member for member in members if member not in (None, types.NoneType)]
        if len(others) == len(members):
            return False
        self._hints[name] = Union[tuple(others)] if others else types.NoneType  # noqa: UP007 - of a list
        return True

    def config_model(self, ctx: inspect.Parameter | None) -> Model | None:
        """The type argument of ``StageContext``; none for a bare one."""
        annotation = _context_annotation(self._hints.get(ctx.name)) if ctx is not None else None
        arguments = get_args(annotation)
        if not arguments or arguments[0] in (types.NoneType, Any, object):
            return None
        return self._model(arguments[0], "the config, the type argument of StageContext,")

    def returned(self) -> tuple[Returned, bool]:
        """What may come back, and whether the annotation says that it must be awaited."""
        if "return" not in self._hints:
            self._problem("has no return annotation")
            return Returned(), False
        annotation = self._hints["return"]
        awaited = get_origin(annotation) in _AWAITABLES
        if awaited:
            annotation = get_args(annotation)[-1]
        found: dict[str, Any] = {}
        for member in union_members(annotation):
            self._read_member(member, found)
        return Returned(**found), awaited

    def _read_member(self, member: Any, found: dict[str, Any]) -> None:
        origin = get_origin(member) or member
        if origin is NotReady:
            return
        if origin is Suspended:
            found["suspends"] = True
            found["state"] = self._argument(member, "Suspended")
        elif origin is WaitForSignal:
            found["waits"] = True
            found["payload"] = self._argument(member, "WaitForSignal")
        elif origin is StageResult:
            for output in union_members(get_args(member)[0] if get_args(member) else None):
                self._read_output(output, found)
        else:
            self._read_output(member, found)

    def _read_output(self, member: Any, found: dict[str, Any]) -> None:
        output = None if member in (None, types.NoneType) else self._model(member, "the output")
        if found.get("has_output") and found["output"] is not output:
            self._problem("has more than one output type; a union needs a model around it (pydantic.RootModel)")
        found["has_output"], found["output"] = True, output

    def _argument(self, member: Any, name: str) -> Model | None:
        arguments = get_args(member)
        if not arguments or arguments[0] is types.NoneType:
            return None
        return self._model(arguments[0], f"the type argument of {name}")

    def _model(self, annotation: Any, what: str) -> Model | None:
        if is_model(annotation) and annotation is not BaseModel:
            return annotation
        self._problem(f"{what} must be a pydantic model or None, not {_shown(annotation)}")
        return None

    def _is_context(self, parameter: inspect.Parameter) -> bool:
        annotation = self._hints.get(parameter.name)
        if _context_annotation(annotation) is not None:
            return True
        # A context of another type, a test's own for example, goes by its name.
        return parameter.name == "ctx" and not is_model(annotation)

    def _problem(self, text: str) -> None:
        self.problems.append(f"{self._role}: {text}")


def union_members(annotation: Any) -> Iterator[Any]:
    """The members of a union (of one, where it is none), aliases and ``Annotated`` resolved."""
    if hasattr(annotation, "__value__"):  # a `type` statement, from Python 3.12 on
        annotation = annotation.__value__
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from union_members(member)
    else:
        yield annotation


def _context_annotation(annotation: Any) -> Any:
    """The ``StageContext[…]`` in *annotation* (which may be ``… | None``), or ``None``."""
    contexts = (member for member in union_members(annotation) if (get_origin(member) or member) is StageContext)
    return next(contexts, None)


def _shown(annotation: Any) -> str:
    if annotation is BaseModel:
        return "BaseModel itself"
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)
