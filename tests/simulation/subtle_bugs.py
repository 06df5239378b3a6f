"""Bugs of one or two lines that read well, each in the middle of something that works.

Unlike those of ``planted_bugs`` they break no condition of a write: a run that has them ends, late,
twice, or with something left behind. Each names the scenario in which it is looked for, or the test.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.simulation import reference, varied
from tests.simulation.planting import Edit, planted
from workflow_engine.testing.simulation import Scenario, simulate

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Bug:
    """*edits* plant it. It is looked for in histories of *scenario*, or by *test* (a node's id)."""

    edits: tuple[Edit, ...]
    scenario: Scenario | None = None
    test: str | None = None


def _one(module: str, name: str, old: str, new: str) -> tuple[Edit, ...]:
    return (Edit(module, name, old, new),)


def seen(module: str, name: str, old: str, new: str, scenario: Scenario = reference.REFERENCE) -> Bug:
    return Bug(_one(module, name, old, new), scenario)


# Six that nothing saw before what they show was asked for.
ONCE_UNSEEN: Mapping[str, Bug] = {
    "a chain goes on under a lease that another took": seen(
        "kernel.leaving", "leases_by", " or not entry.by.startswith(by)", "", varied.GHOSTS
    ),
    "spilled events are never deleted": seen(
        "kernel.outbox", "Outbox.tidy", "if keys:", "if keys and before is None:", varied.SPILLED
    ),
    "a rerun with input loses the config": seen(
        "kernel.handlers.rerun_from", "_Rerunning.facts", 'config=started["config"]', "config={}", varied.LONG
    ),
    "lost leases add up over retries": seen(
        "kernel.execution.endings", "_for_retry", "signal=before.signal,", "signal=before.signal, lost=before.lost,"
    ),
    "a rerun does not extend what it keeps": seen(
        "kernel.handlers.rerun_from",
        "_Rerunning.facts",
        "self.persistence.extend_expiry(head.run_id, expires_at)",
        "pass",
        varied.EXPIRING,
    ),
    "a heartbeat renews only the first lease": seen(
        "kernel.execution.held_leases", "HeldLeases.all", "list(self._held)", "list(self._held)[:1]", varied.WORKERS
    ),
}

# Of records that ride in heads, and leave them in bundles.
RIDING: Mapping[str, Bug] = {
    "a bundle is named by its first record": seen(
        "model.runs", "Bundle.name", "self.records[-1].key", "self.records[0].key", varied.RIDING
    ),
    "a record leaves the head before its bundle is there": seen(
        "kernel.records", "fitted", "put_aside(before, older, persistence)", "pass", varied.RIDING
    ),
    "a record without room is in no item": seen(
        "kernel.records", "fitted", "persistence.put_record(record)", "pass", varied.LONG
    ),
    "a record rides where it costs a unit": seen(
        "kernel.records", "fitted", "if weight + own <= room:", "if weight <= room:", varied.RIDING
    ),
    "a rerun drops what rides in the head": seen(
        "kernel.handlers.rerun_from", "_Rerunning.facts", "records.flush(head, self.persistence)", "pass", varied.RIDING
    ),
    "a bundle is read past a rerun": seen(
        "kernel.records", "_searched", "head.base_of(key.group)", "head.base", varied.RIDING
    ),
    "a rerun keeps what rides in the head": seen(
        "kernel.transitions.runs", "rerun", "recent=(),", "recent=head.recent,", varied.RIDING
    ),
}

# Of groups that one invocation holds, and of runs that their own message begins.
TOGETHER: Mapping[str, Bug] = {
    "an inline write rewrites the list as remembered": seen(
        "kernel.execution.together",
        "_KeepingTogether._decided",
        "turn, moment = self.turn, self.invocation.moment()",
        "turn, moment = self.turn, self.invocation.moment()\n    head = replace(head, active=turn.head.active)",
        varied.INLINE,
    ),
    "an inline sibling is committed under another's epoch": seen(
        "kernel.execution.together",
        "_KeepingTogether._decided",
        "if holds(head, sibling.lease)]",
        "if head.group == sibling.lease.group and not head.status.is_terminal]",
        varied.INLINE_BY_QUEUE,
    ),
    "a part of a group's records rides": seen(
        "kernel.execution.together", "_KeepingTogether._with_records", "if complete:", "if True:", varied.INLINE
    ),
    "an inline sibling that waits is left to the tick": seen(
        "kernel.advance", "Advancer._after_portion", "self._send_wakes(turn, sibling.lease)", "pass", varied.INLINE_CALM
    ),
    "a run is begun by whoever finds it begun": seen(
        "kernel.handlers.create_run",
        "_begin",
        "elif outcome.head is not None:",
        "elif outcome.head is not None:\n        _go_on(outcome.head, definition, invocation, advancer, by='')",
        varied.INLINE_BY_QUEUE,
    ),
    "a run that was begun waits for its message": seen(
        "kernel.handlers.create_run", "_go_on", "if not leases:", "if True:", varied.QUEUED
    ),
}

THIRTY: Mapping[str, Bug] = {
    "a rerun keeps the winners of its own group": seen(
        "kernel.transitions.runs", "rerun", "if at[0] < facts.group}", "if at[0] <= facts.group}", varied.RERUN
    ),
    "a rerun keeps the old deadline": seen(
        "kernel.transitions.runs", "rerun", "deadline=facts.deadline", "deadline=head.deadline", varied.EXPIRING
    ),
    "a rerun keeps the signals of the run before": seen(
        "kernel.transitions.runs", "rerun", "signals=(),", "signals=head.signals,", varied.AGAIN
    ),
    "a stage alone keeps the signal that it has answered": seen(
        "kernel.transitions.stages", "hold", "_without(head.signals, used_signal)", "head.signals", varied.PEOPLE
    ),
    "a signal used up by a group is there for the next": seen(
        "kernel.transitions.groups", "moved_on", "if s not in used) if used", "if s in used) if not used", varied.PEOPLE
    ),
    "refusals of one event count for the next": seen(
        "kernel.transitions.heads",
        "after_telling",
        "0 if dropped else head.refusals",
        "head.refusals",
        reference.REFUSED,
    ),
    "one attempt too many": seen(
        "kernel.execution.endings", "_is_retried", "lease.entry.attempt <", "lease.entry.attempt <=", varied.STUBBORN
    ),
    "a check that raised begins its stage anew": seen(
        "kernel.execution.endings", "_for_retry", "suspended_epoch=before.suspended_epoch,", "", varied.PEOPLE
    ),
    "a check may be later than the stage gives up": seen(
        "kernel.execution.endings",
        "_for_check",
        "min(next_check, give_up_at or limit, limit)",
        "min(next_check, limit)",
        varied.STUBBORN,
    ),
    "a signal that does not fit starts the wait's time anew": seen(
        "kernel.execution.endings",
        "_waiting",
        "before.give_up_at or limit)\n    if isinstance(ending, Suspends)",
        "limit)\n    if isinstance(ending, Suspends)",
        varied.PEOPLE,
    ),
    "a wait that is over by its signal sends its message at its time": seen(
        "kernel.advance", "Advancer._send_wakes", "[wake] if wake else []", "[]", varied.CALM
    ),
    "a timer fires two minutes late": seen(
        "kernel.teller",
        "Teller.send_later",
        "wake.at - 2 * SCHEDULE_PRECISION",
        "wake.at + 2 * SCHEDULE_PRECISION",
        varied.CALM,
    ),
    "only the first timer of a cancelled run is forgotten": seen(
        "kernel.teller",
        "Teller.cancel_timers",
        "self.scheduler.cancel(schedule_name(head, wake))",
        "return self.scheduler.cancel(schedule_name(head, wake))",
        varied.CANCELLED,
    ),
    "a signal forgets another timer than its wait's": seen(
        "kernel.teller",
        "Teller.forget_timeout",
        "replace(wake, at=",
        "replace(wake, epoch=entry.epoch, at=",
        varied.PEOPLE,
    ),
    "the last spilled event is not deleted": seen(
        "kernel.outbox", "Outbox.tidy", "before.told + 1, last + 1", "before.told + 1, last", varied.SPILLED
    ),
    "what an attempt leaves expires with the first deadline": seen(
        "kernel.execution.recorder",
        "Recorder.expiry",
        "head.deadline + self.retention",
        "head.created_at + self.retention",
    ),
    "annotations of all attempts share their ids": seen(
        "kernel.execution.recorder",
        "Recorder._store_journal",
        "{key.stage_id}.{key.epoch}.",
        "{key.stage_id}.",
        varied.LONG,
    ),
    "an effect key that a rerun does not change": seen(
        "kernel.execution.undone", "effect_key_of", "stage_id, str(base))", "stage_id)"
    ),
    "a rerun with input loses the attributes": seen(
        "kernel.handlers.rerun_from",
        "_Rerunning.facts",
        'attributes=started["attributes"]',
        "attributes={}",
        varied.LONG,
    ),
    "a rerun leaves the blobs of its own group": seen(
        "kernel.handlers.rerun_from",
        "_Rerunning.remove_blobs",
        "place.group >= head.group",
        "place.group > head.group",
        varied.RERUN,
    ),
    "a repeat of a rerun runs it again": seen(
        "kernel.idempotency", "record_of", "expires_at=at + retention", "expires_at=at", varied.RERUN
    ),
    "a cancel reaches only a run that was never started again": seen(
        "kernel.transitions.runs", "cancel", "Cancel(newest_base(head),", "Cancel(0,", varied.RERUN
    ),
    "a dead letter goes whether it was accepted or not": seen(
        "kernel.handlers.replay_dead_letters", "_published", "if answer is None]", "]", reference.REFUSED
    ),
    "a failed run is not archived": seen(
        "kernel.rest",
        "Rest._archived",
        "after.status.is_terminal and",
        'after.status == "COMPLETED" and',
        varied.ARCHIVED,
    ),
    "a stage that won at its second attempt is shown without it": seen(
        "kernel.queries.views", "_stage", "head.winner(group, ordinal)", "head.base_of(group)"
    ),
    "a re-arm looks at the time alone": seen(
        "adapters.memory.persistence",
        "MemoryPersistence._is_rearmed",
        "(head.version, head.due_at) != (wish.version, wish.seen)",
        "head.due_at != wish.seen",
    ),
    "a chained lease of a worker is as long as a function's": seen(
        "kernel.execution.endings",
        "next_lease_end",
        "invocation.lease_end(invocation.clock.now())",
        "invocation.deadline",
        varied.WORKERS,
    ),
    "a command that did not get an answer is acknowledged": seen(
        "hosts.serverless", "ServerlessHost._failed", "acknowledge=False", "acknowledge=known", varied.QUEUED
    ),
    "a repeated create sends no jobs": Bug(
        _one("kernel.handlers.create_run", "_again", "head.status is Status.PENDING", "head.status is Status.RUNNING"),
        test="tests/engine/test_starting.py::test_a_create_that_is_sent_again_sends_the_job_again",
    ),
    "a re-arm forgets the timer that comes before the horizon": seen(
        "kernel.sweep", "Sweeper._wish", "min(due, latest) if due > at else latest", "latest"
    ),
}
BUGS: Mapping[str, Bug] = {**ONCE_UNSEEN, **THIRTY, **RIDING, **TOGETHER}


@dataclass(frozen=True, slots=True)
class Catch:
    """*seeds* histories were needed until *check* said *problem*."""

    check: str
    seeds: int
    problem: str


def catch(name: str, *, seeds: int) -> Catch | None:
    """The first history, or the test, that shows a bug; ``None`` where nothing does."""
    return caught(BUGS[name], name, seeds=seeds)


def caught(bug: Bug, name: str, *, seeds: int) -> Catch | None:
    """The same of a *bug* that may be listed elsewhere."""
    if bug.scenario is None:
        return _caught_by_test(name)
    with planted(bug.edits):
        for seed in range(seeds):
            try:
                violation = simulate(bug.scenario, seed).violation
            except Exception as error:
                return Catch(type(error).__name__, seed + 1, str(error))
            if violation is not None:
                return Catch(violation.invariant, seed + 1, re.sub(r"\b[a-z2-7]{26}\b", "…", violation.problem))
    return None


def _caught_by_test(name: str) -> Catch | None:
    """The test is run in a process of its own, in which ``plugin`` plants the bug."""
    bug = BUGS[name]
    environment = {**os.environ, "PLANTED": name, "PYTHONPATH": str(ROOT)}
    options = ["-q", "-x", "--no-header", "-p", "tests.simulation.subtle_bugs", "-p", "no:cacheprovider", str(bug.test)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
    return Catch("test", 0, found.group(1)) if found else None


def pytest_configure() -> None:
    """As a plugin of pytest: plant what the environment names, for the whole session."""
    for edit in BUGS[os.environ["PLANTED"]].edits:
        edit.function.__code__ = edit.code()
