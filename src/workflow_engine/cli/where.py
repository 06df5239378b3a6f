"""Which stack a command is about: the four options that most commands have, as one value."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

from workflow_engine.cli import options

_OPTIONS: Mapping[str, Any] = {
    "stack": options.Stack,
    "profile": options.Profile,
    "region": options.Region,
    "template": options.TemplateFile,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What the options say about the stack. *workers* is for one in this process."""

    stack: str | None = None
    profile: str | None = None
    region: str | None = None
    template: Path | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1

    @property
    def is_deployed(self) -> bool:
        """Whether a deployed stack is meant."""
        return self.stack is not None


# Local mode, with the template that is found from here.
HERE = Where()


def located(command: Callable[..., None]) -> Callable[..., None]:
    """*command*, whose parameter ``where`` is said by ``--stack``, ``--profile``, ``--region`` and ``--template``."""
    signature = inspect.signature(command)

    @wraps(command)
    def with_options(**given: Any) -> None:
        where = Where(**{name: given.pop(name) for name in _OPTIONS})
        command(**given, where=where)

    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "where":
            for name, kind in _OPTIONS.items():
                parameters.append(parameter.replace(name=name, annotation=kind, default=None))
        else:
            parameters.append(parameter)
    # Typer makes options of what these two say.
    vars(with_options)["__signature__"] = signature.replace(parameters=parameters)
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options
