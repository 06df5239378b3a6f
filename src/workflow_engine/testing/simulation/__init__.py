"""A whole deployment on simulated time, where everything goes wrong that can, driven by one seed."""

from workflow_engine.testing.simulation.allowances import Allowance
from workflow_engine.testing.simulation.explore import History, Report, SimulationError, explore, shrink, simulate
from workflow_engine.testing.simulation.faults import QUIET, FaultRates, Outage
from workflow_engine.testing.simulation.measures import Tally
from workflow_engine.testing.simulation.observer import Violation
from workflow_engine.testing.simulation.outside import apply_effect, die, give_back, take, take_time
from workflow_engine.testing.simulation.scenario import Ended, Plot, Scenario, Signalling, must_complete

__all__ = [
    "QUIET",
    "Allowance",
    "Ended",
    "FaultRates",
    "History",
    "Outage",
    "Plot",
    "Report",
    "Scenario",
    "Signalling",
    "SimulationError",
    "Tally",
    "Violation",
    "apply_effect",
    "die",
    "explore",
    "give_back",
    "must_complete",
    "shrink",
    "simulate",
    "take",
    "take_time",
]
