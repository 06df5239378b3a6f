"""What of a group runs: the conditions of its stages, or the one choice among them. Read here, called by the kernel."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, get_args, get_origin, get_type_hints

from workflow_engine.authoring.signatures import union_members

Predicate = Callable[[Any], bool]
Chooser = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several stages runs: that of the case which *by* answers, else *otherwise*. *cases* are ids of stages."""

    by: Chooser
    cases: Mapping[str, str]
    otherwise: str | None = None

    def chosen(self, answer: object) -> str | None:
        """The id of the stage that runs for *answer*; ``None`` where none does."""
        case = case_of(answer)
        return self.otherwise if case is None else self.cases.get(case, self.otherwise)

    def facts(self) -> Mapping[str, Any]:
        """What is part of a workflow's structure, as JSON-compatible values."""
        return {"cases": dict(self.cases), **({"otherwise": self.otherwise} if self.otherwise else {})}


def case_of(answer: object) -> str | None:
    """The name of the case that *answer* stands for: text, a whole number, a bool, or an Enum with such a value.
    ``None`` where it can be none."""
    if isinstance(answer, Enum):
        return case_of(answer.value)
    if isinstance(answer, bool):
        return "true" if answer else "false"
    if isinstance(answer, int):
        return str(int(answer))
    return str(answer) if isinstance(answer, str) else None


def named(cases: Mapping[Any, Any]) -> Iterator[tuple[str | None, Any]]:
    """*cases* by their names; ``None`` is the name of what can be no case."""
    for answer, stage in cases.items():
        yield case_of(answer), stage


def problems_of_cases(by: object, cases: Mapping[str, object], *, has_otherwise: bool, what: str) -> Iterator[str]:
    """Whether there is a case for each answer that the annotation of *by* names, and an answer for each case."""
    if not callable(by):
        yield f"{what}: takes a function that answers the case, not {by!r}"
        return
    declared = _declared(by)
    if declared is None:
        return
    missing = [case for case in declared if case not in cases]
    if missing and not has_otherwise:
        yield f"{what}: {_name_of(by)} may answer {_listed(missing)}, for which it has neither a stage nor an otherwise"
    unknown = [case for case in cases if case not in declared]
    if unknown:
        yield f"{what}: {_name_of(by)} never answers {_listed(unknown)}; it answers {_listed(declared)}"


def problems_of_predicate(predicate: object, what: str) -> Iterator[str]:
    """Whether *predicate* may be asked whether a stage runs."""
    if not callable(predicate):
        yield f"{what}: takes a function that answers whether the stage runs, not {predicate!r}"
        return
    answer = _returned(predicate)
    if answer is not None and answer not in (bool, Any, object):
        yield f"{what}: {_name_of(predicate)} must answer a bool, and is annotated with {_shown(answer)}"


def _declared(by: Callable[..., Any]) -> list[str] | None:
    """The cases that the return annotation of *by* names, in its order; ``None`` where it says no such thing."""
    annotation = _returned(by)
    found: list[str | None] = []
    for member in union_members(annotation):
        if get_origin(member) is Literal:
            found += [case_of(value) for value in get_args(member)]
        elif isinstance(member, type) and issubclass(member, Enum):
            found += [case_of(one) for one in member]
        elif member is bool:
            found += [case_of(value) for value in (True, False)]
        else:
            return None
    return None if None in found else [case for case in dict.fromkeys(found) if case is not None]


def _returned(function: Callable[..., Any]) -> Any:
    """The return annotation; ``None`` where there is none, or it cannot be read."""
    try:
        hints = get_type_hints(inspect.unwrap(function))
    except Exception:  # an annotation is evaluated: it may raise anything, and what it says is a help alone
        return None
    return hints.get("return")


def _name_of(function: object) -> str:
    name = getattr(function, "__name__", None) or type(function).__name__
    return "the lambda" if name == "<lambda>" else f"{name}()"


def _shown(annotation: Any) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)


def _listed(cases: list[str]) -> str:
    return ", ".join(map(repr, cases))
