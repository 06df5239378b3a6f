"""``make bench``: this engine beside what a user would pick instead, in turns, each result checked.

Each figure is a process of its own with a warm-up, in an environment of its own; CPU is the process's, with all
its threads. The median of the paired ratios is what to look at: it is taken within each round, so that a machine
that others use, too, slows both.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PEERS = ("durable_functions", "dbos_sqlite")
OURS = "this_engine"
COMPARED = ("chain5", "chain100", "chain1000", "fan10", "backlog200", "backlog2000")
# The better peer's CPU a step, times this, is the most that ours may take.
TARGETS = {"chain5": 1 / 3, "fan10": 1 / 3}
USUAL_TARGET = 1 / 2
# CPU ms a step of the TypeScript original 0.12.0 on its memory adapters, measured once on another machine.
ORIGINAL = {
    "chain5": 0.77,
    "chain100": 0.57,
    "chain1000": 1.45,
    "fan10": 0.40,
    "backlog200": 0.46,
    "backlog2000": 0.76,
}
# From the small one to the large one a step may become this much dearer.
GROWTHS = (("chain5", "chain1000"), ("backlog200", "backlog5000"))
MOST_GROWTH = 1.1
# A workload that takes longer than this is left out for that engine, and said so.
TIMEOUT_SECONDS = 240

Figures = Mapping[str, float]
Found = dict[tuple[str, str], list[Figures]]


def main() -> int:
    """Install the peers where they are missing, run the rounds, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(COMPARED), help="workloads to compare")
    arguments = parser.parse_args()
    pythons = {OURS: Path(sys.executable), **{peer: _installed(peer) for peer in PEERS}}
    found: Found = {}
    for number in range(arguments.rounds):
        for workload in arguments.only:
            for engine, python in pythons.items():
                _measure(found, engine, python, workload)
        for workload in {name for pair in GROWTHS for name in pair} - set(arguments.only):
            _measure(found, OURS, pythons[OURS], workload)
        print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} CPUs, {arguments.rounds} rounds in turns: medians\n")
    _show_steps(found, arguments.only)
    _show_ratios(found, arguments.only)
    _show_growth(found)
    return 0


def _installed(peer: str) -> Path:
    """The interpreter of the peer's own environment, of the same version as this one."""
    home = ROOT / ".cache" / "peers" / f"{peer}-{platform.python_version()}"
    python = home / "bin" / "python"
    complete = home / "complete"
    if not complete.exists():
        print(f"installing {peer} into {home.relative_to(ROOT)}", file=sys.stderr)
        requirements = HERE.parent / "peers" / f"{peer}.txt"
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", str(requirements)], check=True)
        complete.touch()
    return python


def _measure(found: Found, engine: str, python: Path, workload: str) -> None:
    command = [str(python), str(HERE / f"{engine}.py"), workload]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"{engine}, {workload}: not done after {TIMEOUT_SECONDS} s, left out", file=sys.stderr)
        return
    if result.returncode != 0:
        raise SystemExit(f"{engine}, {workload}: {result.stderr[-2000:]}")
    found.setdefault((engine, workload), []).append(json.loads(result.stdout.splitlines()[-1]))


def _per_step(figures: Sequence[Figures], what: str) -> list[float]:
    return [one[what] / one["steps"] * 1000 for one in figures]


def _show_steps(found: Found, workloads: Sequence[str]) -> None:
    engines = (OURS, *PEERS)
    print(f"{'':12}" + "".join(f"{engine:>32}" for engine in engines))
    print(f"{'workload':12}" + f"{'CPU ms/step':>16}{'steps/s':>16}" * len(engines))
    for workload in workloads:
        line = f"{workload:12}"
        for engine in engines:
            figures = found.get((engine, workload))
            if figures is None:
                line += f"{'-':>16}{'-':>16}"
                continue
            cpu, wall = (_per_step(figures, what) for what in ("cpu_seconds", "wall_seconds"))
            spread = f"{median(cpu):.2f} ({min(cpu):.2f}-{max(cpu):.2f})"
            line += f"{spread:>20}{1000 / median(wall):>12.0f}"
        print(line)


def _show_ratios(found: Found, workloads: Sequence[str]) -> None:
    print(
        f"\n{'workload':12}{'CPU / durable':>16}{'CPU / DBOS':>16}{'of the better':>16}{'target':>10}{'original ms':>14}"
    )
    for workload in workloads:
        ratios = [_paired(found, (OURS, workload), (peer, workload)) for peer in PEERS]
        known = [ratio for ratio in ratios if ratio is not None]
        line = f"{workload:12}" + "".join(f"{'-' if ratio is None else f'{ratio:.2f}':>16}" for ratio in ratios)
        worst = max(known, default=0.0)
        line += f"{worst:>16.2f}{TARGETS.get(workload, USUAL_TARGET):>10.2f}{ORIGINAL[workload]:>14.2f}"
        print(line)


def _show_growth(found: Found) -> None:
    print()
    for small, large in GROWTHS:
        ratio = _paired(found, (OURS, large), (OURS, small))
        print(f"growth of CPU a step, {small} to {large}: x {ratio:.2f} (target: at most {MOST_GROWTH})")


def _paired(found: Found, one: tuple[str, str], other: tuple[str, str]) -> float | None:
    """The median of the ratios of CPU a step within each round."""
    if one not in found or other not in found:
        return None
    mine, theirs = (_per_step(found[key], "cpu_seconds") for key in (one, other))
    return median(a / b for a, b in zip(mine, theirs, strict=False))


if __name__ == "__main__":
    sys.exit(main())
