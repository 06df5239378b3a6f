"""Runs histories: one, many, or the shortest one that still fails."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from workflow_engine.adapters.memory import MemoryPersistence
from workflow_engine.model.ids import RunId
from workflow_engine.testing.simulation.baton import on_one_processor
from workflow_engine.testing.simulation.choices import Choices, Script
from workflow_engine.testing.simulation.clients import Clients
from workflow_engine.testing.simulation.measures import Tally
from workflow_engine.testing.simulation.observer import Violation
from workflow_engine.testing.simulation.processes import Deployment
from workflow_engine.testing.simulation.scenario import Scenario
from workflow_engine.testing.simulation.tasks import Step
from workflow_engine.testing.simulation.verdict import check_end
from workflow_engine.testing.simulation.world import World

# How many histories are tried to find a shorter one that fails in the same way.
SHRINK_BUDGET = 400
DEPLOYS = (timedelta(seconds=2), timedelta(minutes=10), timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class History:
    """One simulated history. *taken* are the decisions that were not the ordinary ones: with them
    as the script, the history repeats. *largest_head* is in bytes of events, *unanswered* counts
    the calls that met an outage, *facts* is what an observer heard, *tallies* what each run cost.
    """

    seed: int
    steps: int
    faults: int
    runs: int
    taken: Script
    calls: Sequence[tuple[str, int]]
    lines: Sequence[Step]
    violation: Violation | None = None
    dead_letters: int = 0
    largest_head: int = 0
    unanswered: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, int] = field(default_factory=dict)
    tallies: Mapping[RunId, Tally] = field(default_factory=dict)

    @property
    def busiest_second(self) -> int:
        """The most calls of ports in any one second of simulated time."""
        seconds = Counter(line.at.replace(microsecond=0) for line in self.lines)
        return max(seconds.values(), default=0)

    @property
    def fingerprint(self) -> str:
        """A digest of every line: the same seed has the same one on any machine."""
        digest = hashlib.sha256()
        for line in self.lines:
            digest.update(f"{line}\n".encode())
        return digest.hexdigest()[:16]


class SimulationError(AssertionError):
    """A history breaks an invariant. Prints the seed and the shortest history that shows it."""

    def __init__(self, history: History, shortest: History) -> None:
        self.history, self.shortest = history, shortest
        problem = shortest.violation.problem if shortest.violation else ""
        lines = "\n".join(f"  {line}" for line in shortest.lines)
        super().__init__(
            f"seed {history.seed}: {problem}\n"
            f"the shortest history found ({len(shortest.taken)} decisions, {shortest.steps} steps; "
            f"the seed's has {len(history.taken)} and {history.steps}):\n{lines}\n"
            f"script: {dict(shortest.taken)!r}"
        )


@dataclass(slots=True)
class Report:
    """What was tried."""

    seeds: int = 0
    steps: int = 0
    faults: int = 0
    runs: int = 0
    fewest_steps: int | None = None
    fewest_faults: int | None = None

    def add(self, history: History) -> None:
        """Count *history*."""
        self.seeds += 1
        self.steps += history.steps
        self.faults += history.faults
        self.runs += history.runs
        self.fewest_steps = _fewest(self.fewest_steps, history.steps)
        self.fewest_faults = _fewest(self.fewest_faults, history.faults)

    def merge(self, other: "Report") -> None:
        """Count what *other* tried, too."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.faults += other.faults
        self.runs += other.runs
        self.fewest_steps = _fewest(self.fewest_steps, other.fewest_steps)
        self.fewest_faults = _fewest(self.fewest_faults, other.fewest_faults)


def _fewest(one: int | None, other: int | None) -> int | None:
    known = [number for number in (one, other) if number is not None]
    return min(known, default=None)


def simulate(scenario: Scenario, seed: int, script: Script | None = None) -> History:
    """One history of *scenario*: the seed's, or the one that *script* tells."""
    choices = Choices(seed, script)
    world = _world_of(scenario, choices)
    deployment = Deployment(world, scenario)
    if scenario.expires and isinstance(world.persistence, MemoryPersistence):
        store = world.persistence
        world.forget = lambda: store.forget_expired(world.now) if choices.pick("forget", (1, 1)) else None
    clients = Clients(deployment)
    violation: Violation | None = None
    try:
        clients.begin()
        _plan_deploys(world, deployment)
        world.run()
        for problem in check_end(world, deployment, clients):
            raise Violation(problem)
    except Violation as found:
        violation = found
    return History(
        seed=seed,
        steps=world.steps,
        faults=world.faults,
        runs=len(world.observer.heads),
        dead_letters=len(world.observer.dead),
        largest_head=world.observer.largest_head,
        unanswered=dict(world.unanswered),
        facts={**deployment.facts.counts, "ErrorsReported": deployment.reported},
        tallies=dict(world.ledger.measures.tallies),
        taken=dict(choices.taken),
        calls=world.calls,
        lines=world.history,
        violation=violation,
    )


def _world_of(scenario: Scenario, choices: Choices) -> World:
    world = World(
        choices,
        rates=scenario.rates,
        settings=scenario.settings,
        stores=scenario.stores,
        outages=scenario.outages,
        lease=scenario.lease,
    )
    world.in_threads = scenario.in_threads
    world.emit_takes, world.rider_bytes = scenario.emit_takes, scenario.rider_bytes
    return world


def _plan_deploys(world: World, deployment: Deployment) -> None:
    def deploy() -> None:
        deployment.deploys += 1

    for _ in deployment.scenario.deploys:
        how = world.choices.pick("deploy", (1, *(1,) * len(DEPLOYS)))
        if how:
            world.at(world.now + DEPLOYS[how - 1], deploy)


def explore(scenario: Scenario, seeds: int | Iterable[int] = 100) -> Report:
    """Run the histories of *seeds* (a number: so many, from 0).

    Raises:
        SimulationError: one of them breaks an invariant; it tells the shortest history found.
    """
    report = Report()
    with on_one_processor():
        for seed in range(seeds) if isinstance(seeds, int) else seeds:
            history = simulate(scenario, seed)
            report.add(history)
            if history.violation is not None:
                raise SimulationError(history, shrink(scenario, history))
    return report


def shrink(scenario: Scenario, history: History, budget: int = SHRINK_BUDGET) -> History:
    """The shortest history found that fails in the same way: decisions are taken back, many at a
    time and then one by one, as long as it still does (delta debugging: Zeller, Hildebrandt 2002)."""
    best = _replayed(scenario, history, history.taken)
    if not _same_failure(history, best):
        return history
    size = max(len(best.taken) // 2, 1)
    while size and budget > 0:
        names = list(best.taken)
        shorter = None
        for start in range(0, len(names), size):
            dropped = set(names[start : start + size])
            budget -= 1
            tried = _replayed(scenario, history, {n: v for n, v in best.taken.items() if n not in dropped})
            if _same_failure(history, tried) and len(tried.taken) < len(best.taken):
                shorter = tried
                break
            if budget <= 0:
                break
        if shorter is not None:
            best = shorter
            size = min(size, max(len(best.taken), 1))
        else:
            size //= 2
    return best


def _replayed(scenario: Scenario, history: History, script: Script) -> History:
    return simulate(scenario, history.seed, dict(script))


def _same_failure(one: History, other: History) -> bool:
    if one.violation is None or other.violation is None:
        return False
    return one.violation.invariant == other.violation.invariant
