"""What a rerun keeps of the steps of its first group: their outcomes, copied under the base of its own."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from workflow_engine.errors import InvalidInputError
from workflow_engine.kernel import payloads
from workflow_engine.kernel.execution.step_records import blob_key_of
from workflow_engine.model.payloads import Payload
from workflow_engine.model.runs import Head
from workflow_engine.model.steps import StepKind, StepRecord
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.persistence import Persistence


def kept_steps(
    persistence: Persistence, head: Head, group: int, stages: Sequence[str], *, of: str, discarded: Sequence[str]
) -> list[StepRecord]:
    """The outcomes of the steps of *stages*, all of *group*, but for those that are *discarded* of the stage *of*. A failure that is
    stored is one, too: the body went on after it, and what it did then may be kept.

    Raises:
        InvalidInputError: one of *discarded* is no step that is there.
    """
    base = head.base_of(group)
    found = [
        step
        for step in persistence.list_steps(head.run_id)
        if (step.scope.group, step.scope.base) == (group, base)
        and step.scope.stage_id in stages
        and step.kind is not StepKind.TRIES
    ]
    names = {step.name for step in found if step.scope.stage_id == of}
    if unknown := [name for name in discarded if name not in names]:
        known = ", ".join(sorted(names)[:20]) or "none"
        problems = [f"{name!r} is no step that was taken; there are: {known}" for name in unknown[:5]]
        raise InvalidInputError(what="discard_steps", problems=problems)
    return [step for step in found if step.scope.stage_id != of or step.name not in discarded]


def keep_under(
    base: int, steps: Iterable[StepRecord], *, persistence: Persistence, blobs: BlobStore, expires_at: datetime
) -> None:
    """Copy *steps* under *base*, with what of them lies in blobs: those of older attempts are removed.

    Raises:
        BlobNotFoundError: a result is gone.
    """
    for step in steps:
        scope = replace(step.scope, base=base)
        output = step.output
        if output is not None and output.blob_key is not None:
            blob_key = blob_key_of(step.run_id, scope, base, step.name)
            blobs.put(blob_key, payloads.fetch(output, blobs))
            output = Payload(size_bytes=output.size_bytes, blob_key=blob_key)
        # The signal that has answered a wait is not kept for the rerun.
        persistence.put_step(
            replace(
                step, scope=scope, epoch=base, output=output, signal=None, expires_at=max(step.expires_at, expires_at)
            )
        )
