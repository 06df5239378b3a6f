"""The environment of local mode."""

import os
import sys
from pathlib import Path

import pytest

from workflow_engine.local.environment import DYNAMODB_ENDPOINT, code_on_path, environment, local_environment
from workflow_engine.local.place import Place

PLACE = Place(endpoint="http://127.0.0.1:1234")


def test_nothing_of_the_users_that_leads_to_an_account_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = {"AWS_PROFILE": "prod", "AWS_SESSION_TOKEN": "x", "AWS_ENDPOINT_URL_SQS": "https://example.com"}
    for name, value in mine.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)

    with environment(local_environment(PLACE, os.environ)):
        assert not mine.keys() & os.environ.keys()
        assert os.environ["AWS_ENDPOINT_URL"] == PLACE.endpoint
        assert os.environ["AWS_ACCESS_KEY_ID"] == "local"
    assert dict(os.environ) == before


def test_a_dynamodb_of_the_users_own_stays() -> None:
    variables = local_environment(PLACE, {DYNAMODB_ENDPOINT: "http://127.0.0.1:8000"})

    assert variables[DYNAMODB_ENDPOINT] == "http://127.0.0.1:8000"


def test_no_proxy_stands_between_the_sdk_and_the_loopback_address() -> None:
    variables = local_environment(PLACE, {"NO_PROXY": "intranet", "HTTPS_PROXY": "http://proxy"})

    assert variables["NO_PROXY"].split(",") == ["intranet", "127.0.0.1", "localhost"]


def test_the_environment_is_put_back_after_an_error() -> None:
    before = dict(os.environ)

    with pytest.raises(ValueError, match="oops"), environment({"AWS_REGION": "eu-north-1", "OTHER": "1"}):
        raise ValueError("oops")
    assert dict(os.environ) == before


def test_code_is_on_the_path_as_long_as_it_is_needed(tmp_path: Path) -> None:
    before = list(sys.path)

    with code_on_path(tmp_path):
        assert sys.path[0] == str(tmp_path)
        with code_on_path(tmp_path):
            assert sys.path.count(str(tmp_path)) == 1
    assert sys.path == before
