"""What every engine is given to do. Trivial stage bodies, about 200 bytes of JSON, every step durable.

A parcel's number counts the steps it went through: the check that nothing was left out or done twice.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

PARCEL: dict[str, Any] = {"number": 0, "text": "x" * 130, "sender": "benchmark", "flags": [True, False, True]}


@dataclass(frozen=True)
class Workload:
    """*runs* of *length* steps in a row, or (*width*) of a step, *width* at once, and one that joins them.

    With *backlog* all runs are created before the first of them is worked on.
    """

    name: str
    runs: int
    length: int = 0
    width: int = 0
    backlog: bool = False

    @property
    def steps(self) -> int:
        """Steps of all runs."""
        return self.runs * (self.width + 2 if self.width else self.length)

    @property
    def expected(self) -> int:
        """The number of the parcel that comes out of a run."""
        # Each of the branches adds one to what the first step gave, and the join adds them up.
        return 2 * self.width if self.width else self.length


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(name="chain5", runs=200, length=5),
        Workload(name="chain100", runs=5, length=100),
        Workload(name="chain1000", runs=1, length=1000),
        Workload(name="fan10", runs=50, width=10),
        Workload(name="backlog200", runs=200, length=5, backlog=True),
        Workload(name="backlog2000", runs=2000, length=5, backlog=True),
        Workload(name="backlog5000", runs=5000, length=5, backlog=True),
    )
}


@dataclass(frozen=True)
class Figures:
    """CPU and wall seconds of a workload, imports and warm-up left out."""

    workload: str
    steps: int
    cpu_seconds: float
    wall_seconds: float


def main(prepare: Callable[[Workload], Callable[[], Sequence[int]]]) -> None:
    """Run the workload of the command line and print its figures as JSON.

    *prepare* answers what runs the workload and answers the parcels' numbers; it runs once before,
    on a small scale, since neither a first import nor a first connection is what is measured.
    """
    workload = WORKLOADS[sys.argv[1]]
    prepare(Workload(name="warm-up", runs=2, length=min(workload.length, 20), width=workload.width))()
    run = prepare(workload)
    cpu, wall = time.process_time(), time.perf_counter()
    numbers = run()
    figures = Figures(workload.name, workload.steps, time.process_time() - cpu, time.perf_counter() - wall)
    wrong = [number for number in numbers if number != workload.expected]
    if wrong or len(numbers) != workload.runs:
        raise SystemExit(f"{workload.name}: {len(numbers)} results, wrong ones: {wrong[:5]}")
    print(json.dumps(asdict(figures)))


def step(parcel: dict[str, Any]) -> dict[str, Any]:
    """The body of a step."""
    return {**parcel, "number": parcel["number"] + 1}


def join(parcels: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The body of the step that joins."""
    return {**parcels[0], "number": sum(parcel["number"] for parcel in parcels)}
