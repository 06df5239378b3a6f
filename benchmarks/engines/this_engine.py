"""This engine on its memory adapters, as a user's tests have it: kernel, queue, host."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, create_model
from workloads import PARCEL, Workload, main

from workflow_engine.authoring import Registry, Stage, WorkflowDefinition, stage
from workflow_engine.authoring import Workflow as Definition
from workflow_engine.model.commands import CreateRun
from workflow_engine.wiring.memory import memory_engine


class Parcel(BaseModel):
    """What the steps hand on."""

    number: int
    text: str
    sender: str
    flags: list[bool]


def prepare(workload: Workload) -> Callable[[], Sequence[int]]:
    """A new engine, and what runs the workload on it."""
    definition = _fan(workload.width) if workload.width else _chain(workload.length)
    engine = memory_engine(Registry([definition]))

    def create() -> Any:
        return engine.kernel.dispatch(CreateRun(workflow_id=definition.id, input=PARCEL)).run_id

    def drain() -> None:
        while engine.host.process_available_jobs(1000).processed:
            pass

    def run() -> Sequence[int]:
        run_ids = []
        for _ in range(workload.runs):
            run_ids.append(create())
            if not workload.backlog:
                drain()
        drain()
        heads = [engine.persistence.load_head(run_id) for run_id in run_ids]
        outputs = [engine.kernel.queries.outcome(head).output for head in heads if head is not None]
        return [Parcel.model_validate_json(output).number for output in outputs if output is not None]

    return run


@cache
def _chain(length: int) -> WorkflowDefinition:
    workflow = Definition("chain", input=Parcel)
    for number in range(length):
        workflow = workflow.pipe(_step(f"step-{number}"))
    return workflow.build()


@cache
def _fan(width: int) -> WorkflowDefinition:
    fields: dict[str, Any] = {f"branch_{number}": (Parcel, ...) for number in range(width)}
    joined = create_model("Joined", **fields)

    def gather(parcels: BaseModel) -> Parcel:
        found = [getattr(parcels, name) for name in fields]
        first: Parcel = found[0]
        return first.model_copy(update={"number": sum(parcel.number for parcel in found)})

    gather.__annotations__["parcels"] = joined
    branches = [_step(f"branch-{number}") for number in range(width)]
    return Definition("fan", input=Parcel).pipe(_step("first")).parallel(*branches).pipe(stage("join")(gather)).build()


def _step(stage_id: str) -> Stage[..., Parcel]:
    @stage(stage_id)
    def step(parcel: Parcel) -> Parcel:
        return parcel.model_copy(update={"number": parcel.number + 1})

    return step


if __name__ == "__main__":
    main(prepare)
