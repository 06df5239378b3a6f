"""Every crash point: the fault-free history's port calls, a crash before and after each, then pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from workflow_engine.testing.simulation.baton import on_one_processor
from workflow_engine.testing.simulation.choices import Choices, Name, Script
from workflow_engine.testing.simulation.explore import History, SimulationError, shrink, simulate
from workflow_engine.testing.simulation.faults import Fault
from workflow_engine.testing.simulation.scenario import Plot, Scenario

CRASHES = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)


@dataclass(slots=True)
class CrashReport:
    """How many port calls the fault-free histories have, and what was survived."""

    histories: int = 0
    calls: int = 0
    points: int = 0
    pairs: int = 0


def variants(plot: Plot) -> Iterator[Script]:
    """What clients may do to a run of *plot*, one thing at a time: the decisions that say so."""
    yield {}
    for signalling in plot.signals:
        yield from ({(f"signal-{signalling.name}", 0): place} for place in range(1, len(signalling.after)))
    if plot.cancel:
        yield from ({("cancel", 0): how + 1} for how in range(len(plot.cancels_after)))
    if plot.undoes:
        yield from ({("cancel", 0): 1, ("without-undo", 0): 1, ("undo", 0): how} for how in (1, 2))
    if plot.rerun_from is not None:
        yield {("rerun", 0): 3}


def survive_crashes(
    scenario: Scenario,
    *,
    faults: Sequence[Fault] = CRASHES,
    pairs: int = 0,
    seed: int = 0,
) -> CrashReport:
    """Let every port call of every plot of *scenario* meet each of *faults*, one a history; and then
    *pairs* of crashes, the second one anywhere behind the first.

    Raises:
        SimulationError: one of the histories does not end as it should.
    """
    report = CrashReport()
    bases: list[tuple[Scenario, Script, History]] = []
    with on_one_processor():
        for plot in scenario.plots:
            alone = replace(scenario, plots=(plot,), runs=None)
            for script in variants(plot):
                history = _survived(alone, script)
                bases.append((alone, script, history))
                report.histories += 1
                report.calls += len(history.calls)
                report.points += _each_call(alone, script, history, faults)
        report.pairs = _some_pairs(bases, pairs, Choices(seed))
    return report


def _each_call(scenario: Scenario, script: Script, history: History, faults: Sequence[Fault]) -> int:
    for call in history.calls:
        for fault in faults:
            _survived(scenario, {**script, call: int(fault)})
    return len(history.calls) * len(faults)


def _some_pairs(bases: Sequence[tuple[Scenario, Script, History]], pairs: int, choices: Choices) -> int:
    for _ in range(pairs):
        scenario, script, history = bases[choices.pick("base", (1,) * len(bases))]
        place = choices.pick("first", (1,) * len(history.calls))
        first = _survived(scenario, {**script, history.calls[place]: _crash(choices)})
        later: list[Name] = list(first.calls[place + 1 :])
        if later:
            call = later[choices.pick("second", (1,) * len(later))]
            _survived(scenario, {**first.taken, call: _crash(choices)})
    return pairs


def _crash(choices: Choices) -> int:
    return int(CRASHES[choices.pick("crash", (1, 1))])


def _survived(scenario: Scenario, script: Script) -> History:
    history = simulate(scenario, 0, script)
    if history.violation is not None:
        raise SimulationError(history, shrink(scenario, history))
    return history
