"""The process's environment while the embedded AWS runs: fake credentials, its endpoint, and
nothing that could reach an account of the user's."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from workflow_engine.errors import SettingsError
from workflow_engine.local.errors import shortened
from workflow_engine.local.place import Place

DYNAMODB_ENDPOINT = "AWS_ENDPOINT_URL_DYNAMODB"
_NO_PROXY = ("NO_PROXY", "no_proxy")


def local_environment(place: Place, current: Mapping[str, str]) -> dict[str, str]:
    """The variables that make the AWS SDK talk to the services at *place* and to nothing else.

    A DynamoDB of the user's own (``AWS_ENDPOINT_URL_DYNAMODB``) stays.
    """
    hosts = [current.get("NO_PROXY") or current.get("no_proxy") or "", "127.0.0.1", "localhost", _host(place)]
    without_proxy = ",".join(dict.fromkeys(filter(None, hosts)))
    kept = {DYNAMODB_ENDPOINT: current[DYNAMODB_ENDPOINT]} if DYNAMODB_ENDPOINT in current else {}
    return kept | {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": place.region,
        "AWS_DEFAULT_REGION": place.region,
        "AWS_ENDPOINT_URL": place.endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        # No profile of the user's changes what a client does.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        # There is no X-Ray daemon here; Powertools would warn of it with every call.
        "POWERTOOLS_TRACE_DISABLED": "true",
        **dict.fromkeys(_NO_PROXY, without_proxy),
    }


def check_endpoints(variables: Mapping[str, str]) -> None:
    """Refuse an endpoint that no request can be sent to.

    Raises:
        SettingsError: a variable for the endpoint of a service is no URL with a scheme and a host.
    """
    for name, value in variables.items():
        if name.startswith("AWS_ENDPOINT_URL") and value and (problem := problem_of_url(value)):
            raise SettingsError(variable=name, problem=problem)


def problem_of_url(text: str) -> str | None:
    """Why *text* is no URL of a service, if it is none."""
    try:
        parts = urlsplit(text)
        if parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port):
            return None
    except ValueError:  # a port that is no number, a bracket that is not closed
        pass
    return f"must be a URL such as http://localhost:8000, not {shortened(text)}"


def _host(place: Place) -> str:
    """The host of *place* as the SDK compares it: without its port, an IPv6 address in its brackets."""
    return urlsplit(place.endpoint).netloc.rpartition(":")[0]


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set *variables* and take all other ``AWS_`` ones away, until the end of the block."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def code_on_path(folder: Path) -> Iterator[None]:
    """Have modules of *folder* imported, as Lambda does with the functions' code."""
    path = str(folder)
    if path in sys.path:
        yield
        return
    sys.path.insert(0, path)
    try:
        yield
    finally:
        sys.path.remove(path)
