"""Tries to break the engine, and prints what was tried: ``make reliability`` (docs/reliability.md).

Histories, crash points, planted bugs, outages and the soak run in memory, in this process's children.
Requests to AWS fail on moto, in tests/simulation/test_aws_requests.py, which counts them; real
processes, hostile input and privileges are in ``reliability_processes``.
"""

import argparse
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

# As a script its folder is on the path, and not the project's, where tests/ is.
sys.path.insert(0, str(Path(__file__).parents[1]))

import reliability_processes
from tests.simulation import planted_bugs, subtle_bugs, varied
from tests.simulation.reference import (
    DEPLOYED,
    DOUBLED,
    PLOTS,
    REFERENCE,
    REFUSED,
    SIBLINGS,
    out_of_order,
    soak,
)
from tests.simulation.step_bugs import STEPS
from tests.simulation.undo_bugs import UNDOS
from workflow_engine.model.limits import MAX_HEAD_EVENTS_BYTES
from workflow_engine.testing.simulation import History, Report, SimulationError, explore, simulate
from workflow_engine.testing.simulation.baton import on_one_processor
from workflow_engine.testing.simulation.crash_points import CrashReport, survive_crashes
from workflow_engine.testing.simulation.faults import CRASHES, Fault

BLOCK = 50
REQUESTS = Path(__file__).parent.parent / "tests/simulation/test_aws_requests.py"
# Of forty seeds, fourteen are the reference's; the others look where it seldom comes.
SHARES = (
    ("reference", REFERENCE, 14),
    ("deploys", DEPLOYED, 1),
    ("refused events", REFUSED, 1),
    ("siblings", SIBLINGS, 1),
    ("doubled requests", DOUBLED, 1),
    ("people", varied.PEOPLE, 2),
    ("long chains", varied.LONG, 1),
    ("reruns", varied.RERUN, 2),
    ("old keys after a rerun", varied.AGAIN, 1),
    ("workers", varied.WORKERS, 2),
    ("workers that hang", varied.GHOSTS, 1),
    ("records in heads", varied.RIDING, 2),
    ("inline groups", varied.INLINE, 1),
    ("inline groups by the queue", varied.INLINE_BY_QUEUE, 2),
    ("stages that signal", varied.TELLING, 1),
    ("steps and waits in bodies", varied.STEPPING, 2),
    ("steps of workers that hang", varied.STEPPING_GHOSTS, 1),
    ("steps in workers", varied.STEPPING_WORKERS, 1),
    ("sagas", varied.UNDOING, 2),
    ("sagas of workers that hang", varied.UNDOING_GHOSTS, 1),
    ("sagas of code that cannot be stopped", varied.UNDOING_THREADS, 1),
    ("sagas in workers", varied.UNDOING_WORKERS, 1),
    ("sagas that are cancelled at work", varied.UNDOING_CANCELLED, 1),
    ("stores that forget", varied.EXPIRING, 1),
    ("records that are gone", varied.EXPIRED, 1),
    ("archives and plugins", varied.ARCHIVED, 1),
    ("commands by the queue", varied.QUEUED, 1),
    ("batches", varied.BATCHED, 1),
    ("errors for good", varied.REFUSING, 1),
    ("old code beside new", varied.SIDE_BY_SIDE, 1),
)
CRASHED = {f"{place}-{plot.workflow_id}": replace(REFERENCE, plots=(plot,)) for place, plot in enumerate(PLOTS)}
CRASHED |= varied.LATER
SCENARIOS = {name: scenario for name, scenario, _ in SHARES}
# Violations that the simulator found in the kernel; tests/simulation/test_mended.py has each.
MENDED = (
    "a start time that passed between two looks at the clock made a negative delay",
    "waits had microseconds, which a store does not keep: a cancelled run left its schedule behind",
    "a tick looked at the runs of a page in the order of a batch read, which is any order",
    "a wake-up that joined a group took the lease of a stage that it did not perform",
    "a late outcome under the first lease, of epoch 0, was not called a ghost's",
    "two invocations had one name, the first half of their ids",
    "what waited until its run's deadline was due for ever until a tick came by",
    "siblings told their group's events n times over",
    "the refusal of the event behind a dead letter was not counted, and the run stood still",
    "an item in an index that was no run stopped the sweep of its shard",
    "a group that a deploy had put in failed the run that entered it",
    "a stage whose process was stopped before it began was said to have taken too long",
    "a killed worker's message stayed hidden for as long as a function would have needed",
    "the timer of a wait stayed where another message, or an operator, had found its signal",
    "a run that was cancelled right after its signal had come left its timer behind",
    "an input that was put by a create that was given up kept that one's expiry",
    "a run that older code had completed was shown as one of the newer definition, without its output",
)
OUTAGES = ("events", "jobs", "blobs", "persistence")


@dataclass(frozen=True, slots=True)
class Block:
    """Some seeds of one scenario, for one process."""

    scenario: str
    first: int
    count: int


def run_block(block: Block) -> Report | str:
    """The report of *block*, or how it failed."""
    try:
        return explore(SCENARIOS[block.scenario], range(block.first, block.first + block.count))
    except SimulationError as error:
        return f"{block.scenario}: {error}"


def crash_plot(work: tuple[str, int, bool]) -> CrashReport | str:
    """Every crash point of one workflow, and some pairs; or each call unanswered, lost on its way back, and twice."""
    name, pairs, crashes = work
    faults = CRASHES if crashes else (Fault.FAIL_BEFORE, Fault.ANSWER_LOST, Fault.TWICE)
    try:
        return survive_crashes(CRASHED[name], faults=faults, pairs=pairs, seed=list(CRASHED).index(name))
    except SimulationError as error:
        return str(error)


def plant(bug: str) -> tuple[str, planted_bugs.Catch | subtle_bugs.Catch | None, float]:
    """Which check caught *bug*, and after how many seconds."""
    begun = time.perf_counter()
    known = {**subtle_bugs.BUGS, **STEPS, **UNDOS}
    with on_one_processor():
        if bug in known:
            return bug, subtle_bugs.caught(known[bug], bug, seeds=400), time.perf_counter() - begun
        found = planted_bugs.catch(bug, seeds=400)
    return bug, found, time.perf_counter() - begun


@dataclass(frozen=True, slots=True)
class Trial:
    """One long history, without its lines, and its busiest second."""

    history: History
    most_calls: int

    @classmethod
    def of(cls, history: History) -> "Trial":
        """What is left of *history* when it comes back from a child process."""
        return cls(replace(history, lines=(), calls=()), history.busiest_second)


def outage(port: str) -> Trial:
    """An hour without *port*, a run every ten seconds."""
    return Trial.of(simulate(out_of_order(port, runs=720), 1))


def soaked(runs: int) -> Trial:
    """An hour of *runs* runs of all kinds, with every fault now and then."""
    return Trial.of(simulate(soak(runs), 1))


def blocks(seeds: int) -> Iterable[Block]:
    """*seeds* seeds, shared out."""
    whole = sum(share for _, _, share in SHARES)
    for name, _, share in SHARES:
        count = seeds * share // whole
        yield from (Block(name, first, min(BLOCK, count - first)) for first in range(0, count, BLOCK))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything; 0 if all of it held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="histories to run (default: 10,000)")
    parser.add_argument("--pairs", type=int, default=2_000, help="pairs of crashes (default: 2,000)")
    parser.add_argument("--soak", type=int, default=5_000, help="runs of the soak (default: 5,000)")
    parser.add_argument("--runs", type=int, default=500, help="runs on real processes (default: 500)")
    parser.add_argument("--kills", type=int, default=200, help="processes killed (default: 200)")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    chosen = parser.parse_args(arguments)
    # What the engine warns of is what is done to it here.
    logging.disable(logging.ERROR)
    with ProcessPoolExecutor(chosen.processes) as pool:
        soaking = pool.submit(soaked, chosen.soak)
        held = [_seeds(pool, chosen.seeds), _crashes(pool, chosen.pairs), _bugs(pool), _requests()]
        held += [_outages(pool), _soak(soaking.result())]
    held.append(_processes(chosen.runs, chosen.kills))
    _line("violations found on the way and mended", len(MENDED))
    for violation in MENDED:
        print(f"  {violation}")
    return 0 if all(held) else 1


def _seeds(pool: ProcessPoolExecutor, seeds: int) -> bool:
    total: dict[str, Report] = {name: Report() for name in SCENARIOS}
    held = True
    work = list(blocks(seeds))
    for block, report in zip(work, pool.map(run_block, work), strict=True):
        if isinstance(report, str):
            held = False
            print(report)
        else:
            total[block.scenario].merge(report)
    for name, report in total.items():
        _line(f"histories, {name}", report.seeds)
    every = list(total.values())
    _line("histories in all", sum(report.seeds for report in every))
    _line("runs in them", sum(report.runs for report in every))
    _line("steps (port calls) in them", sum(report.steps for report in every))
    _line("faults in them", sum(report.faults for report in every))
    _line("fewest steps in one", min(report.fewest_steps or 0 for report in every if report.seeds))
    _line("fewest faults in one", min(report.fewest_faults or 0 for report in every if report.seeds))
    return held


def _crashes(pool: ProcessPoolExecutor, pairs: int) -> bool:
    work = [(name, pairs // len(PLOTS), True) for name in CRASHED] + [(name, 0, False) for name in varied.LATER]
    found = list(pool.map(crash_plot, work))
    reports = [report for report in found if not isinstance(report, str)]
    for report in found:
        if isinstance(report, str):
            print(report)
    _line("port calls of the fault-free histories", sum(report.calls for report in reports))
    _line("crashes and lost answers enumerated and survived", sum(report.points for report in reports))
    _line("pairs of crashes survived", sum(report.pairs for report in reports))
    return len(reports) == len(found)


def _bugs(pool: ProcessPoolExecutor) -> bool:
    caught, bugs = 0, [*planted_bugs.BUGS, *subtle_bugs.BUGS, *STEPS, *UNDOS]
    for bug, found, seconds in pool.map(plant, bugs):
        caught += found is not None
        by = f"{found.check:8} after {found.seeds} histories, {seconds:.1f} s" if found else "NOT CAUGHT"
        print(f"  planted: {bug:64} {by}")
    _line("planted bugs caught", caught)
    return caught == len(bugs)


def _requests() -> bool:
    """Every request to AWS of a run failed before it was sent, after it took effect, or sent twice."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        # Properties of a test are not in the schema that pytest writes otherwise.
        options = ["-q", "--no-header", f"--junitxml={report}", "--override-ini=junit_family=xunit1"]
        said = subprocess.run(
            [sys.executable, "-m", "pytest", *options, str(REQUESTS)], capture_output=True, text=True, check=False
        )
        if said.returncode:
            print(said.stdout)
        found = ElementTree.parse(report).iter("property")
        counts = Counter[str]()
        for record in found:
            counts[record.attrib["name"]] += int(record.attrib["value"])
    _line("AWS requests failed before they were sent", counts["before"])
    _line("AWS requests failed after they took effect", counts["after"])
    _line("AWS requests sent twice by botocore", counts["twice"])
    return said.returncode == 0 and all(counts[name] for name in ("before", "after", "twice"))


def _outages(pool: ProcessPoolExecutor) -> bool:
    """Each service away for an hour under load: nothing is lost, and all of it drains."""
    held = True
    for port, trial in zip(OUTAGES, pool.map(outage, OUTAGES), strict=True):
        history = trial.history
        drained = history.violation is None and history.dead_letters == 0
        held = held and drained
        print(
            f"  an hour without {port:12} {'drained' if drained else f'FAILED: {history.violation}'}: "
            f"{history.unanswered[port]:,} calls unanswered, {history.dead_letters} dead letters, "
            f"largest head +{history.largest_head:,} bytes of events (spilled above {MAX_HEAD_EVENTS_BYTES:,}), "
            f"at most {trial.most_calls:,} calls a second"
        )
    _line("outages of an hour drained", len(OUTAGES) if held else 0)
    return held


def _soak(trial: Trial) -> bool:
    history = trial.history
    if history.violation is not None:
        print(history.violation)
    _line("runs of the soak, an hour of virtual time", history.runs)
    _line("faults in it", history.faults)
    return history.violation is None


def _processes(runs: int, kills: int) -> bool:
    """Figures of the trials that the tests hold; each raises where something does not hold."""
    _figures("inputs tried", reliability_processes.inputs_tried())
    _figures("actions recorded against actions granted", reliability_processes.privileges())
    _figures("memory of a worker", reliability_processes.memory())
    _figures("kills survived", reliability_processes.kills_survived(runs=runs, kills=kills))
    return True


def _figures(what: str, figures: Mapping[str, object]) -> None:
    print(f"{what}:", *(f"{name} {value}," for name, value in figures.items()), flush=True)


def _line(what: str, number: int) -> None:
    print(f"{what:45} {number:>12,}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
