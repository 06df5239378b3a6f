"""``LogLevel`` is what the functions log from, on Lambda as in a test.

Lambda sets ``AWS_LAMBDA_LOG_LEVEL`` for every function with JSON logs, to INFO unless the function's ``ApplicationLogLevel``
says otherwise (developer guide, "Log-level filtering"), and Powertools obeys it before anything else ("AWS Lambda Advanced
Logging Controls").
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.bundle.stack import Json

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
# As Lambda's runtime does it: it sets up the root logger before it imports the handler.
PROGRAM = """
import logging, sys, warnings
logging.basicConfig(level={platform!r}, stream=sys.stdout, format='{{"level": "%(levelname)s", "message": "%(message)s"}}')
warnings.simplefilter("error")
from workflow_engine.adapters.aws.powertools import PowertoolsObserver, logger, metrics
observer = PowertoolsObserver()

@metrics.log_metrics
def handler(event, context):
    for level in {levels}:
        for one, name in ((logger, "engine"), (logging.getLogger("mine"), "mine"), (logging.getLogger("botocore"), "sdk")):
            one.log(getattr(logging, level), name)
    observer.happened("RunsStarted")

handler({{}}, None)
"""


def logged(wanted: str, platform: str) -> Sequence[Json]:
    """What a function prints that is deployed with *wanted*, where Lambda itself lets pass what is from *platform* on."""
    environment = {
        **os.environ,
        "POWERTOOLS_LOG_LEVEL": wanted,
        "AWS_LAMBDA_LOG_LEVEL": platform,
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "POWERTOOLS_METRICS_NAMESPACE": "WorkflowEngine",
        "POWERTOOLS_SERVICE_NAME": "service",
        "AWS_LAMBDA_FUNCTION_NAME": "function",
    }
    program = PROGRAM.format(platform=platform, levels=LEVELS)
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert result.stderr == ""
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("wanted", LEVELS)
def test_a_function_logs_from_the_level_on_that_was_asked_for(wanted: str) -> None:
    lines = logged(wanted, platform="DEBUG" if wanted == "DEBUG" else "INFO")
    passing = list(LEVELS[LEVELS.index(wanted) :])

    for name in ("engine", "mine"):
        assert [line["level"] for line in lines if line.get("message") == name] == passing
    # What the SDK says below a warning is about itself.
    assert [line["level"] for line in lines if line.get("message") == "sdk"] == passing[-2:]


@pytest.mark.parametrize("wanted", LEVELS)
def test_metrics_are_written_at_every_level(wanted: str) -> None:
    lines = logged(wanted, platform="INFO")

    (metric,) = [line for line in lines if "_aws" in line]
    assert metric["RunsStarted"] == [1.0]
    # Lambda takes a line without a level for INFO, which it lets pass.
    assert "level" not in metric


def test_lambda_itself_holds_back_only_what_nobody_asked_for(template: Json, resources: Json) -> None:
    """WARN would hold back every metric: they are lines without a level."""
    assert template["Conditions"]["LogsDebug"] == {"Fn::Equals": [{"Ref": "LogLevel"}, "DEBUG"]}
    for function in ("JobFunction", "TickFunction"):
        controls = resources[function]["Properties"]["LoggingConfig"]
        assert controls["LogFormat"] == "JSON"
        assert controls["ApplicationLogLevel"] == {"Fn::If": ["LogsDebug", "DEBUG", "INFO"]}
