"""What every blob store must do."""
# ruff: noqa: D102 - a test's name is its docstring

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from workflow_engine.errors import BlobNotFoundError, PayloadTooLargeError
from workflow_engine.model.blob_keys import MAX_BLOB_BYTES, MAX_KEY_BYTES
from workflow_engine.ports.blobs import BlobStore

# Keys that clients, proxies and formats like to change on the way.
HOSTILE_KEYS = (
    "a/../b",
    "../../../../etc/passwd",
    "./here",
    "a/./b",
    ".",
    "..",
    "._",
    "a/._b",
    "/leading",
    "//twice",
    "a//b",
    "trailing/",
    " a b ",
    "a+b",
    "a%2Fb",
    "a%00b",
    "a?b=c&d#e",
    "a\\b",
    "line\nbreak\r\n",
    "tab\tnul\x00bell\x07delete\x7f",
    "<a>&amp;\"'</a>",
    "\u00e9 e\u0301 \u00df",
    "\ufffd\ufffe\uffff",
    "\U0001f600",
    "soap",
)
# Any text that is UTF-8, and dot segments more often than chance would have them.
KEYS = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    st.lists(st.sampled_from(["", ".", "..", "._", "a", "\u00e9"]), min_size=1, max_size=6).map("/".join).filter(bool),
)
ANY_STORE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors])


class Oversized(bytes):
    """Bytes that say they are larger than any store takes."""

    @override
    def __len__(self) -> int:
        return MAX_BLOB_BYTES + 1


class BlobStoreContract:
    """Subclass it, and let ``blobs`` give an empty store."""

    @pytest.fixture
    def blobs(self) -> BlobStore:
        """The store to test, empty."""
        raise NotImplementedError

    @pytest.mark.parametrize("data", [b"", b"text", bytes(range(256)), b"\x00" * 1_000_000], ids=len)
    def test_what_was_put_is_read_back(self, blobs: BlobStore, data: bytes) -> None:
        blobs.put("key", data)
        assert blobs.get("key") == data

    def test_a_second_put_replaces_the_first(self, blobs: BlobStore) -> None:
        blobs.put("key", b"first")
        blobs.put("key", b"second")
        assert blobs.get("key") == b"second"
        assert list(blobs.list("")) == ["key"]

    def test_a_renewed_blob_is_unchanged(self, blobs: BlobStore) -> None:
        for key in ("key", " a/../b?c=d&e%2F+\u00e9"):
            blobs.put(key, b"data")
            blobs.renew(key)
            assert blobs.get(key) == b"data"

    def test_a_missing_blob_is_not_renewed(self, blobs: BlobStore) -> None:
        blobs.put("key/longer", b"")
        with pytest.raises(BlobNotFoundError) as caught:
            blobs.renew("key")
        assert caught.value.key == "key"
        assert not blobs.has("key")

    def test_a_missing_blob_is_named(self, blobs: BlobStore) -> None:
        blobs.put("key/longer", b"")
        with pytest.raises(BlobNotFoundError) as caught:
            blobs.get("key")
        assert caught.value.key == "key"
        assert not caught.value.retryable

    def test_has_tells_what_is_there(self, blobs: BlobStore) -> None:
        blobs.put("key", b"")
        assert blobs.has("key")
        assert not blobs.has("ke")
        assert not blobs.has("key2")

    def test_a_deleted_blob_is_gone(self, blobs: BlobStore) -> None:
        blobs.put("key", b"data")
        blobs.put("other", b"data")
        blobs.delete("key")
        assert not blobs.has("key")
        assert list(blobs.list("")) == ["other"]

    def test_to_delete_what_is_absent_is_no_error(self, blobs: BlobStore) -> None:
        blobs.delete("key")
        assert not blobs.has("key")

    def test_list_answers_the_keys_of_a_prefix_in_binary_order(self, blobs: BlobStore) -> None:
        keys = ["a", "a/1", "a/10", "a/2", "a/B", "a/b", "a/\u00e9", "a/\uffff", "a/\U00010000", "b/1"]
        for key in reversed(keys):
            blobs.put(key, b"")
        assert list(blobs.list("")) == keys
        assert list(blobs.list("a/")) == keys[1:-1]
        assert list(blobs.list("a/1")) == ["a/1", "a/10"]
        assert list(blobs.list("c")) == []

    def test_keys_are_opaque(self, blobs: BlobStore) -> None:
        for number, key in enumerate(HOSTILE_KEYS):
            blobs.put(key, str(number).encode())
        assert {key: blobs.get(key) for key in HOSTILE_KEYS} == {
            key: str(number).encode() for number, key in enumerate(HOSTILE_KEYS)
        }
        assert list(blobs.list("")) == sorted(HOSTILE_KEYS, key=str.encode)

    @pytest.mark.parametrize("key", HOSTILE_KEYS, ids=ascii)
    def test_each_key_is_its_own_prefix(self, blobs: BlobStore, key: str) -> None:
        blobs.put(key, b"")
        blobs.put(key + "/x", b"")
        assert list(blobs.list(key)) == [key, key + "/x"]
        blobs.delete(key)
        assert not blobs.has(key)
        assert list(blobs.list("")) == [key + "/x"]

    @ANY_STORE
    @given(key=KEYS, data=st.binary(max_size=200))
    def test_any_text_is_a_key(self, blobs: BlobStore, key: str, data: bytes) -> None:
        blobs.put(key, data)
        assert blobs.get(key) == data
        assert next(iter(blobs.list(key))) == key
        blobs.delete(key)
        assert not blobs.has(key)

    @settings(ANY_STORE, max_examples=30)
    @given(keys=st.sets(KEYS, max_size=8), prefix=st.sampled_from(["", ".", "a", "a/", "a/.", "/", "../"]))
    def test_list_answers_what_sorting_the_keys_would(self, blobs: BlobStore, keys: set[str], prefix: str) -> None:
        for key in keys:
            blobs.put(key, b"")
        expected = sorted((key for key in keys if key.startswith(prefix)), key=str.encode)
        assert list(blobs.list(prefix)) == expected
        for key in keys:
            blobs.delete(key)

    @pytest.mark.parametrize("key", ["", "\ud800", "a/\udfff/b"], ids=ascii)
    def test_what_is_no_key_is_refused(self, blobs: BlobStore, key: str) -> None:
        for use in (blobs.get, blobs.has, blobs.delete):
            with pytest.raises(ValueError):  # noqa: PT011 - the type is the contract
                use(key)
        with pytest.raises(ValueError):  # noqa: PT011 - as above
            blobs.put(key, b"")

    def test_a_key_may_be_1024_bytes(self, blobs: BlobStore) -> None:
        key = "\u00e9" * (MAX_KEY_BYTES // 2)
        blobs.put(key, b"data")
        assert blobs.get(key) == b"data"

    def test_a_longer_key_is_refused(self, blobs: BlobStore) -> None:
        with pytest.raises(PayloadTooLargeError) as caught:
            blobs.put("\u00e9" * (MAX_KEY_BYTES // 2) + "a", b"data")
        assert (caught.value.size_bytes, caught.value.limit_bytes) == (MAX_KEY_BYTES + 1, MAX_KEY_BYTES)
        assert list(blobs.list("")) == []

    def test_data_above_what_one_request_stores_is_refused(self, blobs: BlobStore) -> None:
        with pytest.raises(PayloadTooLargeError) as caught:
            blobs.put("key", Oversized())
        assert caught.value.limit_bytes == MAX_BLOB_BYTES
        assert not blobs.has("key")
