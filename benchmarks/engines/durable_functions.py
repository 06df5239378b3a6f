"""Lambda durable functions: AWS's SDK for Python with its own local testing runner, state in memory."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from aws_durable_execution_sdk_python.context import DurableContext
from aws_durable_execution_sdk_python.execution import InvocationStatus, durable_execution
from aws_durable_execution_sdk_python_testing.runner import DurableFunctionTestRunner
from workloads import PARCEL, Workload, join, main, step


@durable_execution
def chain(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    """Steps in a row."""
    parcel = event["parcel"]
    for number in range(event["length"]):
        parcel = context.step(lambda _, given=parcel: step(given), name=f"step-{number}")
    return parcel


@durable_execution
def fan(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    """A step, several at once, and the join."""
    first = context.step(lambda _: step(event["parcel"]), name="first")

    def branch(number: int) -> Callable[[DurableContext], dict[str, Any]]:
        return lambda child: child.step(lambda _: step(first), name=f"branch-{number}")

    found = context.parallel([branch(number) for number in range(event["width"])], name="branches")
    return context.step(lambda _: join(found.get_results()), name="join")


def prepare(workload: Workload) -> Callable[[], Sequence[int]]:
    """A new runner, and what runs the workload on it."""
    runner = DurableFunctionTestRunner(handler=fan if workload.width else chain)
    event = json.dumps({"parcel": PARCEL, "length": workload.length, "width": workload.width})

    def run() -> Sequence[int]:
        with runner:
            if workload.backlog:
                begun = [runner.run_async(input=event, execution_timeout=300) for _ in range(workload.runs)]
                results = [runner.wait_for_result(arn, timeout=300) for arn in begun]
            else:
                results = [runner.run(input=event, execution_timeout=300) for _ in range(workload.runs)]
        assert all(result.status is InvocationStatus.SUCCEEDED for result in results)
        return [json.loads(result.result)["number"] for result in results]

    return run


if __name__ == "__main__":
    main(prepare)
