"""Bugs of a line or two in durable steps and in waits of bodies, as ``subtle_bugs`` has them."""

from collections.abc import Mapping

from tests.simulation import varied
from tests.simulation.subtle_bugs import Bug, seen

_GATE, _STEPS = "kernel.execution.step_gate", "kernel.execution.steps"
STEPS: Mapping[str, Bug] = {
    "a failure that the body has caught is not stored": seen(
        _GATE, "StepGate._put_caught", "for one in caught:", "for one in []:", varied.STEPPING_GHOSTS
    ),
    "a step's result is taken from another base": seen(
        "kernel.execution.attempt",
        "_Call.begin_steps",
        "base = data.head.base_of(lease.group)",
        "base = 0",
        varied.STEPPING,
    ),
    "a wait's signal stays where it is": seen(
        "kernel.execution.endings", "decide_ending", "Unfit | WaitsInBody | GoesOnLater", "Unfit", varied.STEPPING
    ),
    "a wait begins anew at each look": seen(
        _STEPS,
        "Steps._signalled",
        "begins, end = self._begins(name, WaitKind.SIGNAL),",
        "begins, end = True,",
        varied.STEPPING,
    ),
    "a worker's second lease reads no steps": seen(
        "kernel.execution.attempt",
        "_Call.begin_steps",
        "are_new=lease.entry.epoch == base",
        "are_new=lease.entry.attempt == 1",
        varied.STEPPING,
    ),
    "a retry forgets what its body waits for": seen(
        "kernel.execution.endings", "_for_retry", "step=before.step,", "", varied.STEPPING_GHOSTS
    ),
    "a body that goes on later is another attempt": seen(
        "kernel.execution.endings",
        "_in_body",
        'until=ending.until, by="")\n        entry',
        'until=ending.until, by="", attempt=before.attempt + 1)\n        entry',
        varied.STEPPING,
    ),
    "a rerun keeps all steps but those that failed": seen(
        "kernel.kept_steps",
        "kept_steps",
        "or step.name not in discarded]",
        "or step.name not in discarded if step.error is None]",
        varied.STEPPING,
    ),
    "a body has a name's key for all reruns": seen(
        "kernel.execution.undone", "step_key_of", "str(base), name)", "name)", varied.STEPPING
    ),
}
