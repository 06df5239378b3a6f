"""Bugs of a line or two in choices, as ``subtle_bugs`` has them."""

from collections.abc import Mapping

from tests.simulation import varied
from tests.simulation.planting import Edit
from tests.simulation.subtle_bugs import Bug, seen

_TRANSITION, _JOIN = "kernel.handlers.transition_run", ("kernel.advance", "Advancer._join")
CHOICES: Mapping[str, Bug] = {
    "a choice is made anew by a message that comes twice": Bug(
        (
            Edit(
                _TRANSITION,
                "transition_run",
                "if head.is_undecided and invocation.performs:",
                "if not head.status.is_terminal and head.group == 0 and invocation.performs:",
            ),
            Edit(*_JOIN, "enters = now.is_undecided and ", "enters = "),
            Edit(
                "kernel.leaving",
                "left",
                "if head.is_undecided and decision is not None:",
                "if decision is not None and not wakes.all_done(head):",
            ),
        ),
        varied.CHOOSING,
    ),
    "what was decided is asked again behind the group": seen(
        "kernel.transitions.groups", "_winners", "if entry.epoch != base", "if entry.epoch > base", varied.CHOOSING
    ),
    "a predicate is asked in a tick": Bug(
        (
            Edit("kernel.deciding", "_may_decide", "invocation.performs and ", ""),
            Edit(
                "kernel.advance",
                "Advancer._joined",
                "self._join(turn, goes_on=False)",
                "deciding.decide_join(turn); self._join(turn, goes_on=False)",
            ),
        ),
        varied.CHOOSING,
    ),
    "the record of a skipped stage is looked for": seen(
        "kernel.execution.run_data",
        "RunData.left_by",
        "for key in self._keys(group) if key.epoch != SKIPPED_EPOCH",
        "for key in self._keys(group)",
        varied.CHOOSING,
    ),
    "a group that is passed leaves no word of it": seen(
        "kernel.transitions.entering", "_with_skipped", "if not groups:", "if groups:", varied.CHOOSING
    ),
    "what stands before a group is listed for its deadline alone": seen(
        "kernel.transitions.wakes", "_entries", "if not head.is_undecided:", "if head.is_undecided:", varied.CHOOSING
    ),
    "a tick sends nobody to what stands before a group": seen(
        "kernel.sweep",
        "Sweeper._look",
        "for wake in due] if plan",
        "for wake in due if wake.claim != 'enter'] if plan",
        varied.CHOOSING,
    ),
    "siblings of a skipped stage are taken for its leases": seen(
        "kernel.siblings", "Siblings._performed", "group[lease.ordinal] for lease in leases", "*group", varied.CHOOSING
    ),
}
