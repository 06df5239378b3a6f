"""Figures of what real processes, hostile input and least privilege have been put through: kills survived, inputs
tried, actions recorded against actions granted.

usage: ``reliability_processes.py [--runs 500] [--kills 200] [--quick]``. It needs DynamoDB Local (`make dynamodb-local`).
The engine's own margins are used unless *--quick* shortens them.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).parent.parent
# The tests hold the trials; this only makes them longer and says what came of them.
sys.path.insert(0, str(ROOT))


@contextmanager
def _dynamodb_local() -> Iterator[str]:
    command = [sys.executable, str(ROOT / "scripts" / "dynamodb_local.py"), "run"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield server.stdout.readline().strip()
        server.stdin.close()


def kills_survived(*, runs: int, kills: int, quick: bool = False) -> Mapping[str, object]:
    """Eight workers and two tickers on one queue and one table; a process is killed every half second or so.

    Raises:
        AssertionError: something was lost, counted twice, told out of order or left behind.
    """
    from tests.integration.processes.conftest import kernel_on
    from tests.integration.processes.experiment import Experiment
    from tests.integration.processes.fleet import Fleet
    from tests.integration.processes.patience import ENGINES_OWN, Patience
    from tests.integration.processes.stack import stack
    from workflow_engine.local.server import MotoServer

    patience = Patience() if quick else ENGINES_OWN
    with (
        tempfile.TemporaryDirectory() as folder,
        MotoServer() as moto,
        _dynamodb_local() as dynamodb_url,
        stack(moto.url, dynamodb_url, Path(folder), patience) as made,
        kernel_on(made) as kernel,
    ):
        experiment, begun = Experiment(made, kernel), monotonic()
        experiment.create(runs)
        with Fleet(made) as fleet:
            experiment.go(fleet, kills=kills, every=(0.1, 0.9), within=60 * 60)
            experiment.check()
            return asdict(experiment.figures(fleet, monotonic() - begun))


def privileges() -> Mapping[str, object]:
    """What each function asked of AWS while it was used in every way, against what its policies grant."""
    from tests.bundle.flows import recorded_stack, use_everything
    from tests.bundle.recording import grants, missing, unused

    with recorded_stack() as stack:
        use_everything(stack)
        figures: dict[str, object] = {"requests": stack.recorder.requests}
        for function, role in (("JobFunction", "JobRole"), ("TickFunction", "TickRole")):
            needs, granted = stack.recorder.needs[function], grants(stack.aws.template, role)
            by_aws_itself = {grant.action for grant in unused(needs, granted)}
            figures[function] = (
                f"{len({need.action for need in needs})} recorded, {len({grant.action for grant in granted})} granted, "
                f"{len(missing(needs, granted))} missing, {len(by_aws_itself)} used by AWS itself"
            )
        return figures


def memory(*, jobs: int = 20_000) -> Mapping[str, object]:
    """What a worker keeps of *jobs* jobs.

    Raises:
        AssertionError: it is as much as anything that belongs to a job.
    """
    from tests.simulation.memory import growth_bytes
    from tests.simulation.test_outages import LEAK_BYTES

    grown = growth_bytes(jobs=jobs, a_round=jobs // 20)
    assert grown < LEAK_BYTES * jobs, grown
    return {"jobs": jobs, "bytes kept of all of them": grown}


def inputs_tried(*, quick: bool = False) -> Mapping[str, object]:
    """How many inputs hypothesis made up for the property tests, as its own statistics count them."""
    options = [
        "--hypothesis-show-statistics",
        f"--hypothesis-profile={'project' if quick else 'thorough'}",
        "--timeout=1200",
    ]
    command = [sys.executable, "-m", "pytest", "-q", *options, str(ROOT / "tests/unit/hostile")]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if said.returncode:
        raise AssertionError(said.stdout)
    tried = [
        int(passing) + int(failing) for passing, failing in re.findall(r"(\d+) passing.*?(\d+) failing", said.stdout)
    ]
    return {"properties": len(tried), "inputs": sum(tried)}


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    print("inputs tried:", dict(inputs_tried(quick=asked.quick)), flush=True)
    print("actions:", dict(privileges()), flush=True)
    print("memory of a worker:", dict(memory()), flush=True)
    figures = kills_survived(runs=asked.runs, kills=asked.kills, quick=asked.quick)
    print("kills survived:", dict(figures), flush=True)


if __name__ == "__main__":
    main()
