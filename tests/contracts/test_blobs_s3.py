from itertools import count
from typing import Any

import boto3
import pytest
from botocore.config import Config
from mypy_boto3_s3 import S3Client
from typing_extensions import override

from workflow_engine.adapters.aws.s3 import S3BlobStore
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.testing.contracts import BlobStoreContract

NUMBERS = count()


@pytest.fixture(scope="module")
def client(moto_url: str) -> S3Client:
    # A bucket's own host name would be a name to resolve.
    return boto3.client("s3", endpoint_url=moto_url, config=Config(s3={"addressing_style": "path"}))


@pytest.fixture
def bucket(client: S3Client) -> str:
    name = f"blobs-{next(NUMBERS)}"
    client.create_bucket(Bucket=name)
    return name


class TestS3BlobStore(BlobStoreContract):
    @override
    @pytest.fixture
    def blobs(self, client: S3Client, bucket: str) -> BlobStore:
        return S3BlobStore(client, bucket)


def test_list_reads_all_pages(client: S3Client, bucket: str) -> None:
    blobs = S3BlobStore(client, bucket)
    keys = [f"{number:03}" for number in range(7)]
    for key in keys:
        blobs.put(key, b"")
    pages: list[int] = []

    def two_a_page(params: dict[str, Any], **_: object) -> None:
        params["MaxKeys"] = 2
        pages.append(len(pages))

    client.meta.events.register("provide-client-params.s3.ListObjectsV2", two_a_page)
    try:
        assert list(blobs.list("")) == keys
    finally:
        client.meta.events.unregister("provide-client-params.s3.ListObjectsV2", two_a_page)
    assert len(pages) == 4


def test_a_page_is_read_when_it_is_needed(client: S3Client, bucket: str) -> None:
    blobs = S3BlobStore(client, bucket)
    listing = blobs.list("")
    blobs.put("late", b"")
    assert list(listing) == ["late"]


def test_an_object_is_named_by_its_key(client: S3Client, bucket: str) -> None:
    S3BlobStore(client, bucket).put("runs/abc/stages/0/count-words/1/out.json", b"")
    (stored,) = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert stored["Key"] == "runs/abc/stages/0/count-words/1/out.json"


def test_no_object_has_a_dot_segment_or_a_control_character(client: S3Client, bucket: str) -> None:
    S3BlobStore(client, bucket).put("run/../../other/./.x\n\x00", b"")
    (stored,) = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert stored["Key"] == "run/._./._./other/._/._x J @"
