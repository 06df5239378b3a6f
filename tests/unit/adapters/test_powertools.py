"""What the functions' logger says, stage by stage."""

import pytest

from workflow_engine.adapters.aws.powertools import PowertoolsObserver, logger, metrics


@pytest.fixture(autouse=True)
def _afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "add_metric", lambda *_, **__: None)
    logger.append_keys(message_id="m-1")


def test_a_stages_keys_and_those_that_it_added_are_on_no_line_after_it(capfd: pytest.CaptureFixture[str]) -> None:
    before = dict(logger.get_current_keys())
    observer = PowertoolsObserver()

    observer.stage_started("run-1", "orders", "charge", 1)
    assert logger.get_current_keys()["run_id"] == "run-1"
    logger.append_keys(tenant="acme", message_id="the stage's own")
    logger.remove_keys(["service"])
    observer.stage_ended("orders", "charge", "completed", 0.1)

    assert dict(logger.get_current_keys()) == before


def test_the_line_of_a_stages_end_has_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, object]] = []
    monkeypatch.setattr(logger, "info", lambda *_, **__: said.append(dict(logger.get_current_keys())))
    observer = PowertoolsObserver()

    observer.stage_started("run-1", "orders", "charge", 2)
    observer.stage_ended("orders", "charge", "failed", 0.1)

    assert (said[0]["run_id"], said[0]["stage_id"], said[0]["attempt"]) == ("run-1", "charge", 2)
