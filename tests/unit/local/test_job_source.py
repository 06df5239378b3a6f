"""What a handler's answer to a batch means."""

from typing import Any

import pytest

from workflow_engine.local.job_source import failed_items

IDS = {"1", "2", "3"}


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}, "", []])
def test_nothing_reported_means_that_all_is_done(answer: Any) -> None:
    assert failed_items(answer, IDS) == set()


def test_only_what_is_reported_comes_again() -> None:
    assert failed_items({"batchItemFailures": [{"itemIdentifier": "2"}]}, IDS) == {"2"}


@pytest.mark.parametrize(
    "answer",
    [
        {"batchItemFailures": [{"itemIdentifier": "9"}]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"wrong": "2"}]},
        {"batchItemFailures": 3},
        ["2"],
        "2",
    ],
)
def test_a_report_that_makes_no_sense_means_that_all_failed(answer: Any) -> None:
    assert failed_items(answer, IDS) == IDS
