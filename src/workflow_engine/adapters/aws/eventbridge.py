"""Events on an EventBridge bus."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from typing_extensions import override

from workflow_engine.adapters.aws.errors import UNREADABLE, code_of, is_transient, is_transient_code
from workflow_engine.model.event_entries import EventEntry
from workflow_engine.model.events import RunEvent
from workflow_engine.model.limits import MAX_EVENT_BATCH, MAX_EVENT_REQUEST_BYTES
from workflow_engine.ports.events import NOT_TRIED, EventSink, Refusal

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef, PutEventsResultEntryTypeDef


@dataclass(frozen=True, slots=True)
class _Stop:
    """The first of the events that was refused, and why."""

    index: int
    refusal: Refusal


class EventBridgeSink(EventSink):
    """Publishes to *bus_name*, one request after the other, up to the first event that is refused.

    Of the events of one request that was accepted in part, those behind the refused one are answered
    ``NOT_TRIED`` too: their run publishes them again, in order.
    """

    def __init__(self, client: "EventBridgeClient", bus_name: str) -> None:
        self._client = client
        self._bus_name = bus_name

    @override
    def emit(self, events: Sequence[RunEvent]) -> Sequence[Refusal | None]:
        entries, stop = _entries_of(events)
        start = 0
        while start < len(entries):
            end = _end_of_request(entries, start)
            refused = self._publish(entries[start:end])
            if refused is not None:
                stop = _Stop(start + refused.index, refused.refusal)
                break
            start = end
        return _answers(len(events), stop)

    def _publish(self, entries: Sequence[EventEntry]) -> _Stop | None:
        try:
            answer = self._client.put_events(Entries=[self._entry(entry) for entry in entries])
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            return _Stop(0, _refusal_of_request(error))
        results = answer.get("Entries", ())
        for index, result in enumerate(results):
            if "ErrorCode" in result:
                return _Stop(index, _refusal_of_entry(result))
        if len(results) < len(entries):
            return _Stop(len(results), Refusal(reason=f"PutEvents: {UNREADABLE}", counts=False))
        return None

    def _entry(self, entry: EventEntry) -> "PutEventsRequestEntryTypeDef":
        return {
            "EventBusName": self._bus_name,
            "Source": entry.source,
            "DetailType": entry.detail_type,
            "Detail": entry.detail,
            "Time": entry.time,
            "Resources": [],
        }


def _entries_of(events: Sequence[RunEvent]) -> tuple[list[EventEntry], _Stop | None]:
    """The entries up to the first event that no request can carry, and that one."""
    entries: list[EventEntry] = []
    for index, event in enumerate(events):
        try:
            entry = EventEntry.of(event)
        except ValueError as error:
            return entries, _Stop(index, Refusal.unwritable(error))
        if entry.size_bytes >= MAX_EVENT_REQUEST_BYTES:
            return entries, _Stop(index, Refusal.too_large(entry.size_bytes))
        entries.append(entry)
    return entries, None


def _end_of_request(entries: Sequence[EventEntry], start: int) -> int:
    size, end = 0, start
    while end < len(entries) and end - start < MAX_EVENT_BATCH:
        size += entries[end].size_bytes
        if size >= MAX_EVENT_REQUEST_BYTES:
            break
        end += 1
    return end


def _refusal_of_request(error: Exception) -> Refusal:
    # A request that could not even be made (no credentials, no region) says nothing of the event.
    at_fault = isinstance(error, ClientError) and not is_transient(error)
    return Refusal(reason=f"PutEvents: {code_of(error)}", counts=at_fault)


def _refusal_of_entry(result: "PutEventsResultEntryTypeDef") -> Refusal:
    code = result["ErrorCode"]
    reason = f"{code}: {result.get('ErrorMessage', '')}"
    return Refusal(reason=reason, counts=not is_transient_code(code))


def _answers(number: int, stop: _Stop | None) -> Sequence[Refusal | None]:
    if stop is None:
        return [None] * number
    return [None] * stop.index + [stop.refusal] + [NOT_TRIED] * (number - stop.index - 1)
