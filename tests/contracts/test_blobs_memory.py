import pytest
from typing_extensions import override

from workflow_engine.adapters.memory import MemoryBlobStore
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.testing.contracts import BlobStoreContract


class TestMemoryBlobStore(BlobStoreContract):
    @override
    @pytest.fixture
    def blobs(self) -> BlobStore:
        return MemoryBlobStore()
