"""Bugs of a line or two in the closing phase of runs, as ``subtle_bugs`` has them."""

from collections.abc import Mapping

from tests.simulation import varied
from tests.simulation.planting import Edit
from tests.simulation.subtle_bugs import Bug, seen

_CLOSING, _ENDINGS = "kernel.transitions.closing", "kernel.execution.endings"
UNDOS: Mapping[str, Bug] = {
    "an undo does not wait for a lease": seen(
        _CLOSING,
        "may_enter",
        "awaits_its_end(head) and not any(_may_be_at_work(entry, at) for entry in head.active)",
        "awaits_its_end(head)",
        varied.UNDOING,
    ),
    "a watchdog's timeout is taken for an answer": seen(
        "kernel.transitions.stages",
        "fail",
        "ended = altered(lease.entry, until=works_until)",
        "pass",
        varied.UNDOING_THREADS,
    ),
    "a sibling's watchdog's timeout is taken for an answer": seen(
        _ENDINGS,
        "ending_entry",
        "ended = replace(lease.entry, until=works_until)",
        "pass",
        varied.UNDOING_THREADS,
    ),
    "a retry is undone beside the code that goes on": seen(
        _ENDINGS, "_apart", "by=before.by)", 'by="")', varied.UNDOING_THREADS
    ),
    "a worker's lease ends as it was taken": seen(
        "kernel.execution.tenure",
        "works_until_of",
        "return max([renewed, *[until for until in known if until is not None]])",
        "return lease.entry.until",
        varied.UNDOING_WORKERS,
    ),
    "an undo is skipped after a crash": seen(
        "kernel.transitions.wakes",
        "all_done",
        "(EntryState.DONE, EntryState.FAILED) for",
        "(EntryState.DONE, EntryState.FAILED, EntryState.LEASED) for",
        varied.UNDOING,
    ),
    "a stage begins after the end was decided": Bug(
        (
            Edit(
                "model.commits", "_fits", "return is_undo == head.is_closing", "return not is_undo or head.is_closing"
            ),
            Edit("kernel.transitions.wakes", "_wake", "if awaits_its_end(head):", "if False:"),
        ),
        varied.UNDOING,
    ),
    "only counted outputs are undone": seen(
        _CLOSING,
        "_has_begun",
        "entry.state not in (EntryState.READY, EntryState.SKIPPED)",
        "entry.state in (EntryState.DONE, EntryState.FAILED)",
        varied.UNDOING,
    ),
    "a deadline changes the end that was decided": seen(
        "kernel.rest", "Rest.fail_run", " or now.is_closing", "", varied.UNDOING
    ),
    "a later cancel changes the end that was decided": Bug(
        (
            Edit(
                "kernel.handlers.cancel_run",
                "_commit",
                "head.status.is_terminal or head.is_closing",
                "head.status.is_terminal",
            ),
            Edit(
                "model.commits",
                "_fits",
                "not isinstance(change, Fail | Cancel | Signal)",
                "not isinstance(change, Fail | Signal)",
            ),
        ),
        varied.UNDOING,
    ),
    "an undo is given no output of a worker that died": seen(
        "kernel.execution.undone",
        "Undone._found",
        "if record.status is status and record.output is not None]",
        "if record.status is status and record.output is not None and record.status != 'COMPLETED']",
        varied.UNDOING,
    ),
    "an undo is done again under another key": seen(
        "kernel.execution.attempt", "_Call._effect_key", "self.undoes.base)", "self.lease.entry.epoch)", varied.UNDOING
    ),
    "run.undo undoes again what is undone": seen(
        _CLOSING, "asked", "asked=tuple(wanted),", "asked=None,", varied.UNDOING
    ),
    "run.undo does not wait for who is at work": seen(
        _CLOSING, "asked", "not_before=free_at)", "not_before=None)", varied.UNDOING_CANCELLED
    ),
    "what could not be undone is not listed": seen(
        _CLOSING, "moved_on", "(*closing.not_undone, *failed)", "closing.not_undone", varied.UNDOING
    ),
    "groups are undone first to last": seen(
        _CLOSING, "_next_group", "if group < before), reverse=True)", "if group < before))", varied.UNDOING
    ),
    "a timer of what a cancelled run waited for fires": seen(
        "kernel.advance",
        "Advancer.close",
        "self.teller.cancel_timers(head, invocation.clock.now())",
        "pass",
        varied.UNDOING,
    ),
    "a timer of what a sibling waited for fires": seen(
        "kernel.advance",
        "Advancer._tell_decision",
        "self.teller.cancel_timers(head, invocation.clock.now())",
        "pass",
        varied.UNDOING,
    ),
}
