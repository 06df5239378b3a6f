"""``run.annotate``: a fact about a run, noted from outside. Changes nothing of the run."""

from datetime import datetime

from workflow_engine.errors import IdempotencyConflictError, PayloadTooLargeError, RunNotFoundError
from workflow_engine.kernel import idempotency, transitions
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.rest import Rest
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.model.commands import AnnotateRun
from workflow_engine.model.ids import RunId, content_hash, digest
from workflow_engine.model.json_values import to_json
from workflow_engine.model.limits import MAX_ANNOTATION_BYTES
from workflow_engine.model.results import RunAnnotated
from workflow_engine.model.runs import Annotation, Head
from workflow_engine.ports.clock import IdSource
from workflow_engine.ports.persistence import Persistence


def annotate_run(
    command: AnnotateRun,
    invocation: Invocation,
    *,
    persistence: Persistence,
    rest: Rest,
    ids: IdSource,
    settings: KernelSettings,
) -> RunAnnotated:
    """Keep the annotation, under its key once; it is told where ``annotation:created`` is published.

    Raises:
        RunNotFoundError: there is no such run.
        IdempotencyConflictError: the key was used for another annotation of the run.
        PayloadTooLargeError: the value is above 16 KB.
    """
    _check_size(command)
    head = persistence.load_head(RunId(command.run_id))
    if head is None:
        raise RunNotFoundError(run_id=command.run_id)
    annotation = _annotation(command, head, invocation.clock.now(), ids, settings=settings)
    done = RunAnnotated(annotation_id=annotation.id)
    standing = persistence.put_annotation(annotation)
    if standing is not None and not _is_same(standing, annotation):
        raise IdempotencyConflictError(key=command.idempotency_key or annotation.id, command_type=command.type)
    # A note on a run that is over belongs into its archive, which is written again after it.
    if transitions.ANNOTATED in settings.published or (settings.archive and head.status.is_terminal):
        # Kept and not told, its sender may have died in between: the record says that it was told.
        noted = _of_its_run(command, annotation)
        if standing is not None and idempotency.replayed(noted, RunAnnotated, persistence) is not None:
            return done
        record = idempotency.record_of(noted, done, annotation.at, settings.retention)
        rest.note(head, annotation, invocation, record)
    return done


def _check_size(command: AnnotateRun) -> None:
    size = len(to_json(command.value))
    if size > MAX_ANNOTATION_BYTES:
        raise PayloadTooLargeError(
            what=f"annotation {command.key!r}", size_bytes=size, limit_bytes=MAX_ANNOTATION_BYTES
        )


def _annotation(
    command: AnnotateRun, head: Head, at: datetime, ids: IdSource, *, settings: KernelSettings
) -> Annotation:
    key = command.idempotency_key or ids.new_id()
    return Annotation(
        run_id=head.run_id,
        id=f"outside.{digest('annotation', key)}",
        at=at,
        name=command.key,
        value=command.value,
        actor=command.actor,
        attempt=None,
        stage=None,
        expires_at=head.deadline + settings.retention,
    )


def _of_its_run(command: AnnotateRun, annotation: Annotation) -> AnnotateRun:
    """*command* under a key that no other run has: its own counts for one run, and records for all."""
    if command.idempotency_key is None:
        return command
    return command.model_copy(update={"idempotency_key": f"{annotation.run_id}.{annotation.id}"})


def _is_same(standing: Annotation, annotation: Annotation) -> bool:
    """Whether both say the same of the run, at whatever time."""
    return _said(standing) == _said(annotation)


def _said(annotation: Annotation) -> str:
    # As JSON: for Python, true is 1.
    return content_hash([annotation.name, annotation.value, annotation.actor])
