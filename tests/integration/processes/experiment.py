"""Runs of every kind on processes that are killed at random moments, and what must have become of them."""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from tests.integration.processes.chance import Chance
from tests.integration.processes.fleet import Fleet
from tests.integration.processes.stack import Stack
from tests.integration.processes.workflows import BIG, GO
from workflow_engine.errors import TransientError
from workflow_engine.kernel import Kernel
from workflow_engine.model.commands import CancelRun, Command, CreateRun, SignalRun
from workflow_engine.model.ids import RunId, digest
from workflow_engine.model.results import Result, RunCreated
from workflow_engine.model.runs import Head
from workflow_engine.model.status import Status

KINDS = ("chain", "fan", "batch", "nap", "approval", "failing", "cancelled")


@dataclass(frozen=True)
class Run:
    id: RunId
    kind: str
    number: int


@dataclass(slots=True)
class Heard:
    """The events of one run as they arrived, repeats included."""

    events: list[dict[str, Any]] = field(default_factory=list)

    def once(self) -> list[dict[str, Any]]:
        """Each event where it arrived first."""
        first: dict[int, dict[str, Any]] = {}
        for event in self.events:
            first.setdefault(event["detail"]["sequence"], event)
        return list(first.values())

    def types(self) -> Counter[str]:
        return Counter(
            ":".join(filter(None, [event["detail-type"], event["detail"].get("stage_id")])) for event in self.once()
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """What a trial did, for people to read."""

    runs: int
    events: int
    repeated_events: int
    effects: int
    repeated_effects: int
    retried: int
    leases_taken_over: int
    workers_killed: int
    tickers_killed: int
    seconds: float


@dataclass(slots=True)
class Experiment:
    """*kernel* is the test's own, on the same stack as the processes."""

    stack: Stack
    kernel: Kernel
    seed: int = 1
    runs: list[Run] = field(default_factory=list)
    heard: dict[str, Heard] = field(default_factory=dict)
    heads: dict[RunId, Head] = field(default_factory=dict)

    def create(self, number: int) -> None:
        with self._listening():
            for index in range(number):
                kind = KINDS[index % len(KINDS)]
                workflow_id = "approval" if kind == "cancelled" else kind
                command = CreateRun(workflow_id=workflow_id, input={"value": index}, idempotency_key=f"run-{index}")
                created = self._insist(command)
                assert isinstance(created, RunCreated)
                self.runs.append(Run(RunId(created.run_id), kind, index))

    def push(self) -> None:
        """Signal or cancel what waits for it; twice, as a client does who has not got his answer."""
        for run in self.runs:
            for _ in range(2):
                if run.kind == "approval":
                    signal = SignalRun(run_id=run.id, name=GO, payload={"value": run.number}, idempotency_key="once")
                    self._insist(signal)
                if run.kind == "cancelled":
                    self._insist(CancelRun(run_id=run.id, reason="not wanted", idempotency_key=f"c{run.id}"))

    def _insist(self, command: Command) -> Result:
        """What a client does that gets no answer: it says the same again, under the same key."""
        for _ in range(20):
            try:
                return self.kernel.dispatch(command)
            except TransientError:
                continue
        raise AssertionError(f"nobody answered {command}")

    def go(self, fleet: Fleet, *, kills: int, every: tuple[float, float], within: float) -> None:
        """Kill *kills* processes one after another, then wait until everything is over and told."""
        with self._listening():
            self._kill(fleet, kills, every)
            end = monotonic() + within
            while not self._is_over():
                fleet.assert_alive()
                assert monotonic() < end, self._unfinished()
                threading.Event().wait(0.25)
        while self._listen():
            pass

    def _kill(self, fleet: Fleet, kills: int, every: tuple[float, float]) -> None:
        chance, pushed = Chance(self.seed), False
        for number in range(kills):
            threading.Event().wait(chance.between(*every))
            if number % 4 == 2:
                fleet.kill_one(chance, "ticker")
            else:
                # Every other one falls on who is in the middle of a stage, however idle the machine.
                fleet.kill_one(chance, "worker", self._at_work() if number % 2 else None)
            if number >= kills // 3 and not pushed:
                self.push()
                pushed = True
        if not pushed:
            self.push()

    def _at_work(self) -> int | None:
        """Who has just left a mark, and will be in that stage a moment longer; ``None`` where all
        rest."""
        seen = len(self.marks())
        for _ in range(300):
            marks = self.marks()
            if len(marks) > seen:
                pid: int = marks[-1]["pid"]
                return pid
            threading.Event().wait(0.01)
        return None

    def look(self) -> None:
        """Read where the runs stand that are not over."""
        wanted = [run.id for run in self.runs if not _is_at_rest(self.heads.get(run.id))]
        self.heads |= self.kernel.parts.persistence.load_heads(wanted)

    def _is_over(self) -> bool:
        self.look()
        return all(_is_at_rest(self.heads.get(run.id)) for run in self.runs)

    def _unfinished(self) -> str:
        return "\n".join(
            f"{run.kind} {self.heads.get(run.id)}" for run in self.runs if not _is_at_rest(self.heads.get(run.id))
        )

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Take events as they come: each receive of moto looks at all messages of the queue, several
        times, so that a thousand would hold up everybody."""
        enough = threading.Event()

        def listen() -> None:
            while not enough.wait(0.05):
                self._listen()

        listener = threading.Thread(target=listen, name="listener", daemon=True)
        listener.start()
        try:
            yield
        finally:
            enough.set()
            listener.join()

    def _listen(self) -> int:
        sqs, url = self.stack.client("sqs"), self.stack.queue_url(f"{self.stack.name}-heard")
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        heard = 0
        while messages:
            heard += len(messages)
            for message in messages:
                event = json.loads(message["Body"])
                self.heard.setdefault(event["detail"]["run_id"], Heard()).events.append(event)
            entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)]
            sqs.delete_message_batch(QueueUrl=url, Entries=entries)
            messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return heard

    # What must be true of it

    def check(self) -> None:
        marks = self.marks()
        for run in self.runs:
            self._check_end(run)
            self._check_events(run)
            self._check_effects(run, marks)
        self._check_nothing_left()

    def marks(self) -> list[dict[str, Any]]:
        """What the stages did outside, in order, repeats included."""
        return [json.loads(line) for line in self.stack.effects.read_text().splitlines()]

    def _check_end(self, run: Run) -> None:
        head = self.heads[run.id]
        outcome = self.kernel.queries.outcome(head)
        assert outcome.status is EXPECTED_STATUS.get(run.kind, Status.COMPLETED), (run, head)
        if outcome.status is Status.COMPLETED:
            assert outcome.output is not None
            assert json.loads(outcome.output)["value"] == expected_value(run), run
        if outcome.status is Status.FAILED:
            assert outcome.error is not None
            assert outcome.error.type == "PermanentError", (run, outcome.error)

    def _check_events(self, run: Run) -> None:
        heard = self.heard[run.id]
        head = self.heads[run.id]
        sequences = [event["detail"]["sequence"] for event in heard.once()]
        # Each event was accepted after its predecessor; none is missing, none was made up.
        assert sequences == list(range(1, head.told + 1)), (run, sequences, head.told)
        by_id: dict[str, Any] = {}
        for event in heard.events:
            assert by_id.setdefault(event["detail"]["event_id"], event["detail"]) == event["detail"], run
        types = heard.types()
        # An outcome that was counted twice would be told twice, under two sequences.
        outcomes = {type_: count for type_, count in types.items() if not type_.startswith("stage:started")}
        assert max(outcomes.values()) == 1, (run, types)
        assert types >= Counter(EXPECTED_EVENTS[run.kind]), (run, types)

    def _check_effects(self, run: Run, marks: Sequence[dict[str, Any]]) -> None:
        found = {(mark["stage"], mark["key"]) for mark in marks if mark["run"] == run.id}
        completed = [event for event in self.heard[run.id].once() if event["detail-type"] == "stage:completed"]
        stages = {event["detail"]["stage_id"] for event in completed} - {"nap"}
        expected = {(stage, digest("effect", run.id, stage, "0")) for stage in stages}
        # Whatever the attempt and whoever made it, a stage's effect has one key.
        assert expected <= found, run
        assert len({stage for stage, _ in found}) == len(found), run

    def _check_nothing_left(self) -> None:
        for shard in range(2):
            due = self.kernel.parts.persistence.list_due(shard, until=max_instant(self.heads), limit=10)
            assert due.runs == ()
        dead = self.stack.queue_url(f"{self.stack.name}-dead")
        attributes = self.stack.client("sqs").get_queue_attributes(QueueUrl=dead, AttributeNames=["All"])["Attributes"]
        assert attributes["ApproximateNumberOfMessages"] == "0"
        assert self.kernel.parts.persistence.list_dead_letters(limit=10) == []

    def figures(self, fleet: Fleet, seconds: float) -> Figures:
        marks = self.marks()
        unique = {mark["key"] for mark in marks}
        events = sum(len(heard.events) for heard in self.heard.values())
        once = sum(len(heard.once()) for heard in self.heard.values())
        return Figures(
            runs=len(self.runs),
            events=once,
            repeated_events=events - once,
            effects=len(unique),
            repeated_effects=len(marks) - len(unique),
            retried=sum(run.kind == "chain" for run in self.runs),
            leases_taken_over=self._leases_taken_over(),
            workers_killed=fleet.kills["worker"],
            tickers_killed=fleet.kills["ticker"],
            seconds=round(seconds, 1),
        )

    def _leases_taken_over(self) -> int:
        """Outcomes that count and were not their stage's first lease, where nothing else draws another one."""
        return sum(group != LATER_LEASES.get(run.kind) for run in self.runs for group, _ in self.heads[run.id].winners)


# The group whose stage is retried, checked or signalled, and so never counts under its first lease.
LATER_LEASES = {"chain": 1, "batch": 0, "nap": 1, "approval": 0}
EXPECTED_STATUS = {"failing": Status.FAILED, "cancelled": Status.CANCELLED}


def _completed(*stages: str) -> list[str]:
    return [
        "workflow:created",
        "workflow:started",
        *(f"stage:started:{stage}" for stage in stages),
        *(f"stage:completed:{stage}" for stage in stages),
    ]


# It fails once, and begins a second time.
FLAKY = ["stage:failed:flaky", "stage:started:flaky"]
EXPECTED_EVENTS = {
    "chain": [*_completed("first", "flaky", "big", "last"), *FLAKY, "workflow:completed"],
    "fan": [*_completed("first", "left", "middle", "right", "total"), "workflow:completed"],
    "batch": [*_completed("submit", "last"), "stage:suspended:submit", "workflow:completed"],
    "nap": [*_completed("first", "nap", "last"), "workflow:completed"],
    "approval": [*_completed("ask", "last"), "workflow:completed"],
    "failing": [*_completed("first"), "stage:started:doomed", "stage:failed:doomed", "workflow:failed:doomed"],
    "cancelled": ["workflow:created", "workflow:cancelled"],
}


def expected_value(run: Run) -> int:
    number = run.number
    values = {
        "chain": number + 1 + 10 + 100 + 1000 + len(BIG),
        "fan": 3 * (number + 1) + 1 + 2 + 3,
        "batch": number + 7 + 1000,
        "nap": number + 1 + 1000,
        "approval": number + 1000,
    }
    return values[run.kind]


def _is_at_rest(head: Head | None) -> bool:
    return head is not None and head.status.is_terminal and not head.untold and head.due_at is None


def max_instant(heads: dict[RunId, Head]) -> Any:
    return max(head.deadline for head in heads.values())
