"""What every adapter of a port must do: subclass a contract and give it the adapter as a fixture."""

import pytest

# Before the imports, or their assertions would fail without saying what they saw.
pytest.register_assert_rewrite(f"{__name__}.blobs")

from workflow_engine.testing.contracts.blobs import BlobStoreContract  # noqa: E402

__all__ = ["BlobStoreContract"]
