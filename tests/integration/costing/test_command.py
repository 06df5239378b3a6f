"""``workflow-engine cost``, as a user calls it."""

import json

import pytest
from typer.testing import CliRunner

from workflow_engine.cli.app import app

INPUT = '{"text": "Words are counted. Words are weighed.", "name": "two sentences"}'


def cost(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["cost", *arguments])
    return result.exit_code, result.stdout


def test_a_workflow_of_ones_own_is_priced() -> None:
    code, out = cost("document-analysis", "--input", INPUT, "--json")
    assert code == 0
    [row] = json.loads(out)["workloads"]
    assert row["status"] == "COMPLETED"
    assert row["dollars_per_million_runs"] > 0
    assert sum(row["shares"].values()) == pytest.approx(1, abs=0.001)
    assert json.loads(out)["units"] == "computed"


def test_a_person_sees_what_a_run_asks_and_costs() -> None:
    code, out = cost("document-analysis", "--input", INPUT)
    assert code == 0
    assert "What one run asks of AWS" in out
    assert "$ / M runs" in out


def test_an_input_without_a_workflow_is_a_bad_usage() -> None:
    assert cost("--input", INPUT)[0] == 2


def test_a_workflow_that_is_not_there_is_a_bad_usage() -> None:
    assert cost("no-such-workflow", "--input", INPUT)[0] == 2
