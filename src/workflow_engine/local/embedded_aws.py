"""The embedded AWS as a whole: server, environment and resources, up while it is entered."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from workflow_engine.local.environment import (
    DYNAMODB_ENDPOINT,
    check_endpoints,
    code_on_path,
    environment,
    local_environment,
)
from workflow_engine.local.place import Place
from workflow_engine.local.resources import create_resources
from workflow_engine.local.server import LOOPBACK, MotoServer
from workflow_engine.local.template import Template
from workflow_engine.wiring.aws import client, forget_clients


class EmbeddedAws:
    """A stack of the template at *template_path*, in this process.

    While it is entered, the process's environment is that of the template's functions, and AWS is
    what this answers. *overrides* are parameters of the template, by name.
    """

    def __init__(
        self,
        template_path: Path,
        *,
        overrides: Mapping[str, str] | None = None,
        host: str = LOOPBACK,
        port: int = 0,
    ) -> None:
        self._template_path = template_path
        self._overrides = dict(overrides or {})
        self._server = MotoServer(host, port)
        self._entered = ExitStack()
        self._template: Template | None = None

    @property
    def template(self) -> Template:
        """The template, in the place where the stack is."""
        if self._template is None:
            raise RuntimeError("the embedded AWS is not running")
        return self._template

    @property
    def variables(self) -> Mapping[str, str]:
        """What a process needs in its environment to talk to this stack as its functions do."""
        return {**local_environment(self.template.place, os.environ), **self.template.variables()}

    @property
    def changes(self) -> int:
        """Grows with every request that may have changed something."""
        return self._server.changes

    def __enter__(self) -> "EmbeddedAws":
        with ExitStack() as entering:
            check_endpoints({name: os.environ[name] for name in os.environ if name == DYNAMODB_ENDPOINT})
            # Read it first with any place: what is wrong with it is said before a server starts.
            template = Template.read(self._template_path, Place(endpoint="http://127.0.0.1"), self._overrides)
            server = entering.enter_context(self._server)
            self._template = replace(template, place=Place(endpoint=server.url))
            entering.enter_context(environment(self.variables))
            entering.enter_context(code_on_path(self.template.code_folder()))
            forget_clients()
            entering.callback(forget_clients)
            create_resources(self.template, client)
            self._entered = entering.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.close()
        self._template = None
