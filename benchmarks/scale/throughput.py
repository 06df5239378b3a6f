"""``make scale``: runs a second on DynamoDB Local with 1, 2 and 4 worker processes.

Each worker has a queue of its own and all share the table: where workers got into each other's way, the
curve would bend before the machine's CPUs are used up, and writes would be refused.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from typing import Any

WORKERS = (1, 2, 4)
RUNS_A_WORKER = 60
STAGES = 5
TABLE = "throughput"
URL_VARIABLE = "WORKFLOW_ENGINE_DYNAMODB_LOCAL"


def main() -> int:
    """Print the curve, or be one of the workers."""
    url = os.environ.get(URL_VARIABLE)
    if url is None:
        print("needs DynamoDB Local", file=sys.stderr)
        return 1
    if len(sys.argv) > 1:
        return _work(url)
    from workflow_engine.adapters.aws.dynamodb.table import create_table_request

    _client(url).create_table(**create_table_request(TABLE))
    print(f"{'workers':>8}{'runs/s':>10}{'stages/s':>10}{'refused':>10}{'CPU ms/stage':>14}   ({os.cpu_count()} CPUs)")
    for workers in WORKERS:
        _show(workers, [_start() for _ in range(workers)])
    return 0


def _start() -> "subprocess.Popen[str]":
    command = [sys.executable, __file__, "work"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _show(workers: int, processes: "list[subprocess.Popen[str]]") -> None:
    for process in processes:
        # Warm: imports, connections and the workflow's structure are done.
        assert process.stdout is not None
        process.stdout.readline()
    begun = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [json.loads(process.communicate()[0]) for process in processes]
    seconds = time.perf_counter() - begun
    runs = workers * RUNS_A_WORKER
    cpu = sum(one["cpu_seconds"] for one in found) / (runs * STAGES) * 1000
    refused = sum(one["refused"] for one in found)
    print(f"{workers:8}{runs / seconds:10.1f}{runs * STAGES / seconds:10.1f}{refused:10}{cpu:14.2f}")


def _client(url: str) -> Any:
    from botocore.config import Config
    from botocore.session import Session

    session = Session()
    session.set_credentials("local", "local")
    config = Config(retries={"total_max_attempts": 2})
    return session.create_client("dynamodb", region_name="us-east-1", endpoint_url=url, config=config)


def _work(url: str) -> int:
    from workflow_engine.adapters.aws.dynamodb.persistence import DynamoPersistence
    from workflow_engine.adapters.memory import MemoryBlobStore, MemoryEventSink, MemoryJobTransport, MemoryScheduler
    from workflow_engine.adapters.system import RandomIds, SystemClock
    from workflow_engine.authoring import Registry
    from workflow_engine.costing.workloads import chain
    from workflow_engine.hosts import ServerlessHost
    from workflow_engine.kernel import Kernel
    from workflow_engine.model.commands import CreateRun

    client, clock, workload = _client(url), SystemClock(), chain(STAGES)
    refused: Counter[bool] = Counter()
    client.meta.events.register("after-call", lambda parsed, **_: refused.update(["Error" in parsed]))
    transport = MemoryJobTransport(clock)
    kernel = Kernel(
        persistence=DynamoPersistence(table_name=TABLE, shards=8, clock=clock, ids=RandomIds(), client=client),
        blob_store=MemoryBlobStore(),
        job_transport=transport,
        event_sink=MemoryEventSink(),
        scheduler=MemoryScheduler(clock, transport),
        clock=clock,
        registry=Registry([workload.definition]),
    )
    host = ServerlessHost(kernel, transport, "worker")

    def run(number: int) -> None:
        for _ in range(number):
            kernel.dispatch(CreateRun(workflow_id=workload.definition.id, input=dict(workload.input)))
            while host.process_available_jobs().processed:
                pass

    run(3)
    refused.clear()
    print("ready", flush=True)
    sys.stdin.readline()
    cpu = time.process_time()
    run(RUNS_A_WORKER)
    # Keys of a counter of booleans: how many answers were errors.
    print(json.dumps({"cpu_seconds": time.process_time() - cpu, "refused": sum(n for e, n in refused.items() if e)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
