"""Blobs in an S3 bucket."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from typing_extensions import override

from workflow_engine.adapters.aws.errors import check_answer, code_of, translating
from workflow_engine.errors import BlobNotFoundError
from workflow_engine.model.blob_keys import check_size, key_bytes
from workflow_engine.ports.blobs import BlobStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SERVICE = "S3"
# S3 counts ".." segments and refuses a key in which they lead out of the bucket, and whatever lies between
# may resolve them (RFC 3986, 5.2.4). So the dot that opens a segment is stored as "._".
_OPENING_DOT = re.compile(r"(^|/)\.")
_STORED_DOT = re.compile(r"(^|/)\._")
# Its user guide says of ASCII control characters: avoid ("Object key naming guidelines"). They, and the space,
# are stored as a space and a letter. Like the dots, that leaves the order of keys and their prefixes as they are.
_ESCAPES = {code: " " + chr(ord("@") + code) for code in range(ord(" ") + 1)}
_ESCAPED = re.compile(" ([@-`])")
# GetObject names the missing object; the answer to HeadObject has no body to name it in.
MISSING = frozenset({"NoSuchKey", "404"})


class S3BlobStore(BlobStore):
    """Keeps each blob as an object of *bucket*.

    The name of the object is the key, but for dots that open a segment, control characters and
    spaces: each counts twice towards the length of a key. The role needs ``s3:ListBucket`` on the
    bucket, or S3 answers 403 for an object that is missing.
    """

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    @override
    def put(self, key: str, data: bytes) -> None:
        name = _name_of(key)
        check_size(key, data)
        with translating(SERVICE, "PutObject"):
            self._client.put_object(Bucket=self._bucket, Key=name, Body=data)

    @override
    def get(self, key: str) -> bytes:
        name = _name_of(key)
        # The body is read inside too: a connection can break in the middle of it.
        with translating(SERVICE, "GetObject"):
            try:
                return self._client.get_object(Bucket=self._bucket, Key=name)["Body"].read()
            except ClientError as error:
                if code_of(error) in MISSING:
                    raise BlobNotFoundError(key=key) from error
                raise

    @override
    def has(self, key: str) -> bool:
        name = _name_of(key)
        with translating(SERVICE, "HeadObject"):
            try:
                self._client.head_object(Bucket=self._bucket, Key=name)
            except ClientError as error:
                if code_of(error) in MISSING:
                    return False
                raise
        return True

    @override
    def renew(self, key: str) -> None:
        name = _name_of(key)
        # A copy onto itself makes a new object, whose age a lifecycle rule counts from now; S3 takes it where
        # something of it is replaced (API reference, CopyObject; user guide, "Expiring objects").
        with translating(SERVICE, "CopyObject"):
            try:
                self._client.copy_object(
                    Bucket=self._bucket,
                    Key=name,
                    CopySource={"Bucket": self._bucket, "Key": name},
                    MetadataDirective="REPLACE",
                )
            except ClientError as error:
                if code_of(error) in MISSING:
                    raise BlobNotFoundError(key=key) from error
                raise

    @override
    def delete(self, key: str) -> None:
        name = _name_of(key)
        with translating(SERVICE, "DeleteObject"):
            self._client.delete_object(Bucket=self._bucket, Key=name)

    @override
    def list(self, prefix: str) -> Iterator[str]:
        prefix.encode()
        return self._keys(_stored(prefix))

    def _keys(self, prefix: str) -> Iterator[str]:
        paginator = self._client.get_paginator("list_objects_v2")
        pages = iter(paginator.paginate(Bucket=self._bucket, Prefix=prefix))
        while True:
            with translating(SERVICE, "ListObjectsV2"):
                page = next(pages, None)
            if page is None:
                return
            check_answer(page, "Name", service=SERVICE, operation="ListObjectsV2")
            for item in page.get("Contents", ()):
                yield _read(item["Key"])


def _name_of(key: str) -> str:
    key_bytes(key)
    name = _stored(key)
    key_bytes(name)
    return name


def _stored(key: str) -> str:
    return _OPENING_DOT.sub(r"\1._", key.translate(_ESCAPES))


def _read(name: str) -> str:
    return _ESCAPED.sub(lambda match: chr(ord(match[1]) - ord("@")), _STORED_DOT.sub(r"\1.", name))
