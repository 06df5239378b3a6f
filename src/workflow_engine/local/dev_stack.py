"""The functions of a local stack in a process of their own, and when it is to be another one."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from workflow_engine.adapters.system import SystemClock
from workflow_engine.local.project import Project

# A stage that is under way is let finish; Lambda would give it no longer either.
STOP_WITHIN = timedelta(minutes=15)
STOPPED_LOOK_SECONDS = 0.05


class FunctionProcess:
    """The process that runs the functions of *project* against the stack of *variables*. Once there is a
    *hurry*, its job in hand is not waited for."""

    def __init__(self, project: Project, variables: Mapping[str, str], hurry: Callable[[], bool]) -> None:
        self._project, self._variables, self._hurry = project, variables, hurry
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        overrides = [f"{name}={value}" for name, value in self._project.overrides.items()]
        module = "workflow_engine.local.function_process"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(self._project.template_path), *overrides],
            env={**os.environ, **self._variables},
            stdin=subprocess.PIPE,
            # Ctrl-C in the terminal is for us: we stop it when its job is done.
            start_new_session=True,
        )

    def stop(self) -> None:
        """Let it finish the job in hand, unless there is a hurry, and end."""
        if self._process is None:
            return
        self._process.terminate()
        never, give_up_at = threading.Event(), SystemClock().now() + STOP_WITHIN
        while self._process.poll() is None and SystemClock().now() < give_up_at and not self._hurry():
            never.wait(STOPPED_LOOK_SECONDS)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself: its code cannot be imported, for instance."""
        return self._process is not None and self._process.poll() is not None


class CodeWatch:
    """Tells when the code below *folder*, or the template, was changed."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._seen = self._state()

    def has_changed(self) -> bool:
        """Whether anything is different from the last look."""
        now = self._state()
        changed, self._seen = now != self._seen, now
        return changed

    def _state(self) -> dict[Path, int]:
        files = (file for path in self._paths for file in _code_at(path))
        return {file: modified for file in files if (modified := _modified(file)) is not None}


def _code_at(path: Path) -> Iterator[Path]:
    """The Python files below *path*; itself where it is a file. Folders that vanish meanwhile have none."""
    if not path.is_dir():
        yield path
        return
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in names if name.endswith(".py"))


def _modified(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except OSError:  # it was removed between the listing and the look
        return None
