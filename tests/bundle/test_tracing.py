"""Traces cost as much as half of a run: they are made where they were asked for, and by no tick."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.bundle.stack import Json, as_list, statements

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled={}"
PROGRAM = """
import sys
from workflow_engine.adapters.aws.powertools import PowertoolsObserver
observer = PowertoolsObserver()
observer.stage_started("run", "workflow", "greet", 1)
observer.stage_ended("workflow", "greet", "completed", 0.1)
sys.stderr.write(str("aws_xray_sdk" in sys.modules))
"""


@pytest.fixture
def daemon() -> Iterator[socket.socket]:
    """Where the X-Ray daemon of a function would listen."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(5)
        yield listening


def imports_the_sdk(daemon: socket.socket, *, sampled: int, disabled: str) -> bool:
    """Play a stage as a function does whose invocation is *sampled*; whether the X-Ray SDK was imported for it."""
    environment = {
        **os.environ,
        "LAMBDA_TASK_ROOT": "/var/task",
        "_X_AMZN_TRACE_ID": TRACE.format(sampled),
        "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{daemon.getsockname()[1]}",
        "POWERTOOLS_TRACE_DISABLED": disabled,
        "POWERTOOLS_METRICS_NAMESPACE": "WorkflowEngine",
    }
    command = [sys.executable, "-c", PROGRAM]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return result.stderr == "True"


def test_a_stage_of_a_traced_invocation_is_a_subsegment(daemon: socket.socket) -> None:
    assert imports_the_sdk(daemon, sampled=1, disabled="false")

    segment = json.loads(daemon.recv(65_536).split(b"\n")[1])
    assert (segment["name"], segment["annotations"]) == ("stage greet", {"run_id": "run"})


@pytest.mark.parametrize(("sampled", "disabled"), [(0, "false"), (0, "true"), (1, "true")])
def test_without_tracing_the_sdk_is_not_even_imported(daemon: socket.socket, sampled: int, disabled: str) -> None:
    """Whoever sends a message may trace: it makes the invocation sampled, and nobody asked this stack for traces."""
    assert not imports_the_sdk(daemon, sampled=sampled, disabled=disabled)


def test_nothing_is_traced_unless_it_was_asked_for(parameters: Json, resources: Json) -> None:
    variables = resources["JobFunction"]["Properties"]["Environment"]["Variables"]

    assert (parameters["Tracing"]["Default"], parameters["Tracing"]["AllowedValues"]) == (
        "PassThrough",
        ["PassThrough", "Active"],
    )
    assert resources["JobFunction"]["Properties"]["TracingConfig"] == {"Mode": {"Ref": "Tracing"}}
    assert variables["POWERTOOLS_TRACE_DISABLED"] == {"Fn::If": ["TracesJobs", "false", "true"]}


def test_a_tick_is_never_traced(resources: Json) -> None:
    """One a second and 5 % of the rest are sampled: of one tick a minute, each."""
    assert resources["TickFunction"]["Properties"]["TracingConfig"] == {"Mode": "PassThrough"}
    assert not [s for s in statements(resources, "TickRole") if "xray" in str(s)]


def test_the_job_function_may_write_traces_only_where_it_makes_some(resources: Json) -> None:
    policy = resources["JobTracePolicy"]
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]

    assert policy["Condition"] == "TracesJobs"
    assert policy["Properties"]["RoleName"] == {"Ref": "JobRole"}
    assert set(as_list(statement["Action"])) == {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
    assert not [s for s in statements(resources, "JobRole") if "xray" in str(s)]
