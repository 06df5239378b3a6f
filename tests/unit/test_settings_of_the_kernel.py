"""``ARCHIVE_RUNS`` and ``RECORDS`` reach the kernel."""

import pytest

from workflow_engine.authoring import Registry
from workflow_engine.errors import SettingsError
from workflow_engine.wiring.aws import build_kernel
from workflow_engine.wiring.settings import Settings

REQUIRED = {
    "TABLE_NAME": "table",
    "BUCKET_NAME": "bucket",
    "JOB_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/jobs",
    "EVENT_BUS_NAME": "bus",
    "SCHEDULE_GROUP_NAME": "group",
    "SCHEDULER_ROLE_ARN": "arn:aws:iam::123456789012:role/scheduler",
}


@pytest.mark.parametrize(("said", "archives"), [({}, False), ("false", False), ("true", True)])
@pytest.mark.parametrize("published", [{}, {"PUBLISH_EVENTS": "workflow:*"}])
def test_runs_are_archived_only_where_the_environment_says_so(
    said: str | dict[str, str], archives: bool, published: dict[str, str]
) -> None:
    variables = said if isinstance(said, dict) else {"ARCHIVE_RUNS": said}

    kernel = build_kernel(Settings.from_environment({**REQUIRED, **variables, **published}), Registry([]))

    assert kernel.settings.archive is archives
    assert ("workflow:created" in kernel.settings.published) is bool(published)


@pytest.mark.parametrize("said", ["yes", "1", "True"])
def test_anything_but_true_and_false_is_refused(said: str) -> None:
    with pytest.raises(SettingsError, match="ARCHIVE_RUNS must be true or false"):
        Settings.from_environment({**REQUIRED, "ARCHIVE_RUNS": said})


@pytest.mark.parametrize(("said", "in_head"), [(None, True), ("head", True), ("items", False)])
def test_records_are_in_the_head_unless_somebody_says_items(said: str | None, in_head: bool) -> None:
    variables = {} if said is None else {"RECORDS": said}
    assert Settings.from_environment({**REQUIRED, **variables}).records_in_head is in_head


def test_records_lie_nowhere_else() -> None:
    with pytest.raises(SettingsError, match="RECORDS must be head or items, not 'both'"):
        Settings.from_environment({**REQUIRED, "RECORDS": "both"})
