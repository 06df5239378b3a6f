"""What a local stack saved is there again, whatever has become of the template since."""

import json
from pathlib import Path

from tests.integration.local.conftest import ROOT
from workflow_engine.kernel import Kernel
from workflow_engine.local.embedded_aws import EmbeddedAws
from workflow_engine.local.state import StackState
from workflow_engine.model.schedules import Schedule
from workflow_engine.wiring.aws import build_kernel
from workflow_engine.wiring.settings import Settings

NIGHTLY = Schedule(name="nightly", workflow_id="w", expression="cron(0 3 * * ? *)", input={})


def kernel() -> Kernel:
    return build_kernel(Settings.from_environment())


def test_a_schedule_survives_that_its_group_has_another_name_now(tmp_path: Path) -> None:
    saved = tmp_path / "state.json"
    with EmbeddedAws(ROOT / "template.yaml") as aws:
        kernel().parts.scheduler.put_recurrence(NIGHTLY.as_recurrence())
        StackState(aws.template, saved).save()
    written = json.loads(saved.read_text())
    written["schedules"][0]["GroupName"] = "as-it-was-called-before"
    saved.write_text(json.dumps(written))

    with EmbeddedAws(ROOT / "template.yaml") as aws:
        assert StackState(aws.template, saved).load()
        assert kernel().parts.scheduler.list_recurrences() == [NIGHTLY.as_recurrence()]
