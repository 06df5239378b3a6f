"""``run.annotate``: a fact about a run, noted from outside. Changes nothing of the run."""

from workflow_engine.errors import PayloadTooLargeError, RunNotFoundError
from workflow_engine.kernel import transitions
from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.model.commands import AnnotateRun
from workflow_engine.model.ids import RunId, digest
from workflow_engine.model.json_values import to_json
from workflow_engine.model.limits import MAX_ANNOTATION_BYTES
from workflow_engine.model.results import RunAnnotated
from workflow_engine.model.runs import Annotation
from workflow_engine.ports.clock import IdSource
from workflow_engine.ports.persistence import Persistence


def annotate_run(
    command: AnnotateRun,
    invocation: Invocation,
    *,
    persistence: Persistence,
    advancer: Advancer,
    ids: IdSource,
    settings: KernelSettings,
) -> RunAnnotated:
    """Keep the annotation, under its key once; it is told where ``annotation:created`` is published.

    Raises:
        RunNotFoundError: there is no such run.
        PayloadTooLargeError: the value is above 16 KB.
    """
    size = len(to_json(command.value))
    if size > MAX_ANNOTATION_BYTES:
        raise PayloadTooLargeError(
            what=f"annotation {command.key!r}", size_bytes=size, limit_bytes=MAX_ANNOTATION_BYTES
        )
    head = persistence.load_head(RunId(command.run_id))
    if head is None:
        raise RunNotFoundError(run_id=command.run_id)
    key = command.idempotency_key or ids.new_id()
    annotation_id = f"outside.{digest('annotation', key)}"
    annotation = Annotation(
        run_id=head.run_id,
        id=annotation_id,
        at=invocation.clock.now(),
        name=command.key,
        value=command.value,
        actor=command.actor,
        attempt=None,
        stage=None,
        expires_at=head.deadline + settings.retention,
    )
    persistence.put_annotations([annotation])
    # A note on a run that is over belongs into its archive, which is written again after it.
    if transitions.ANNOTATED in settings.published or (settings.archive and head.status.is_terminal):
        advancer.note(head, annotation, invocation)
    return RunAnnotated(annotation_id=annotation_id)
