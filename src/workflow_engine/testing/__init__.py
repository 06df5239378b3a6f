"""What tests of the engine, of adapters and of workflows are made of. Never imported at run time.

The contract suites are in ``contracts``, the simulator is in ``simulation``. What is named here is
loaded when it is first asked for: pytest loads the fixtures of ``plugin`` at every start.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow_engine.testing.clock import FakeClock, SequentialIds
    from workflow_engine.testing.engine import VirtualEngine, VirtualRun
    from workflow_engine.testing.simulation import Plot, Scenario, simulate

# Where each name comes from. A test holds it to the imports above.
_LAZY = {
    "FakeClock": "clock",
    "SequentialIds": "clock",
    "VirtualEngine": "engine",
    "VirtualRun": "engine",
    "Plot": "simulation",
    "Scenario": "simulation",
    "simulate": "simulation",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = found
    return found


__all__ = ["FakeClock", "Plot", "Scenario", "SequentialIds", "VirtualEngine", "VirtualRun", "simulate"]
