"""What one of the processes does. It imports no more than it needs, since there are many of them."""

import multiprocessing
import os
import threading
from collections.abc import Mapping
from datetime import timedelta
from multiprocessing.connection import wait as wait_for
from typing import Any, Literal

from tests.integration.processes.patience import Patience

Role = Literal["worker", "ticker"]


def be(role: Role, environment: Mapping[str, str], patience: Mapping[str, Any], name: str) -> None:
    """Be a worker, or something that ticks once a second, until somebody kills this process."""
    os.environ.update(environment)
    _die_with_parent()
    _adopt(Patience(**patience))
    # Imported here: a process of the test itself has no environment for it.
    from workflow_engine.hosts import ServerlessHost, WorkerHost
    from workflow_engine.wiring.aws import build_kernel
    from workflow_engine.wiring.settings import Settings

    kernel = build_kernel(Settings.from_environment())
    if role == "ticker":
        host = ServerlessHost(kernel, kernel.parts.job_transport, name)
        while True:
            host.run_maintenance_tick()
            threading.Event().wait(1.0)
    WorkerHost(
        kernel,
        kernel.parts.job_transport,
        name,
        tick_every=timedelta(days=1),
        poll_wait=timedelta(seconds=1),
        lease=timedelta(seconds=patience["lease_seconds"]),
        on_error=lambda error: print(f"{name}: {type(error).__name__}: {error}", flush=True),  # noqa: T201
    ).run()


def _adopt(patience: Patience) -> None:
    from workflow_engine.kernel import claim, settings
    from workflow_engine.kernel.transitions import wakes

    for module in (wakes, claim):
        setattr(module, "CLOCK_SKEW", timedelta(seconds=patience.clock_skew_seconds))  # noqa: B010
    setattr(settings, "WAKE_MARGIN", timedelta(seconds=patience.wake_margin_seconds))  # noqa: B010


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
