"""Beside the commercial Regions there are others, whose ARNs begin otherwise (IAM user guide, "Amazon Resource Names")."""

from pathlib import Path

import pytest

from tests.unit.test_settings_of_the_kernel import REQUIRED
from workflow_engine.wiring.settings import Settings

ROOT = Path(__file__).parents[2]
ROLE = "arn:{}:iam::123456789012:role/scheduler"


def queue_arn(url: str, partition: str = "aws", **environment: str) -> str:
    variables = {**REQUIRED, "JOB_QUEUE_URL": url, "SCHEDULER_ROLE_ARN": ROLE.format(partition), **environment}
    return Settings.from_environment(variables).job_queue_arn


@pytest.mark.parametrize(
    ("url", "partition", "arn"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/jobs", "aws", "arn:aws:sqs:eu-west-1:123456789012:jobs"),
        (
            "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/jobs",
            "aws-cn",
            "arn:aws-cn:sqs:cn-north-1:123456789012:jobs",
        ),
        (
            "https://sqs.us-gov-west-1.amazonaws.com/123456789012/jobs",
            "aws-us-gov",
            "arn:aws-us-gov:sqs:us-gov-west-1:123456789012:jobs",
        ),
        # The older endpoints (General reference, "Amazon SQS endpoints and quotas").
        ("https://eu-west-1.queue.amazonaws.com/123456789012/jobs", "aws", "arn:aws:sqs:eu-west-1:123456789012:jobs"),
        (
            "https://sqs-fips.us-east-2.amazonaws.com/123456789012/jobs",
            "aws",
            "arn:aws:sqs:us-east-2:123456789012:jobs",
        ),
    ],
)
def test_a_queues_arn_is_of_its_own_partition_and_region(url: str, partition: str, arn: str) -> None:
    assert queue_arn(url, partition) == arn
    # A worker may be at home elsewhere.
    assert queue_arn(url, partition, AWS_REGION="ap-south-1", AWS_DEFAULT_REGION="ap-south-1") == arn


def test_behind_an_endpoint_of_another_kind_the_region_is_the_sdks() -> None:
    url = "http://127.0.0.1:5000/123456789012/jobs"

    assert queue_arn(url, AWS_REGION="eu-west-1") == "arn:aws:sqs:eu-west-1:123456789012:jobs"
    assert queue_arn(url, AWS_DEFAULT_REGION="eu-west-1") == "arn:aws:sqs:eu-west-1:123456789012:jobs"


def test_no_partition_is_written_out() -> None:
    sources = [*(ROOT / "src").rglob("*.py"), ROOT / "template.yaml"]

    assert [path.name for path in sources if "arn:aws:" in path.read_text()] == []
