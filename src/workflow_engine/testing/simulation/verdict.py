"""What must be true when a history has come to its end: nothing lost, nothing left behind, nothing
done twice."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

from workflow_engine.kernel import Kernel, records, winners
from workflow_engine.model.runs import SKIPPED_EPOCH, Head
from workflow_engine.model.status import Status
from workflow_engine.testing.simulation.census import LONGER_THAN_A_HISTORY, check_left
from workflow_engine.testing.simulation.clients import Clients, Story
from workflow_engine.testing.simulation.faults import STALLS
from workflow_engine.testing.simulation.processes import Deployment
from workflow_engine.testing.simulation.readings import check_readings
from workflow_engine.testing.simulation.scenario import Ended
from workflow_engine.testing.simulation.world import World

# Between the decision of a process and the write that it is for, where that hangs.
_UNANSWERED = 2 * max(STALLS)
_FOREVER = timedelta(days=3650)


def check_end(world: World, deployment: Deployment, clients: Clients) -> Iterator[str]:
    """One line for everything that is not as it must be."""
    for head in world.observer.heads.values():
        yield from check_told(world, head)
        if not head.status.is_terminal:
            yield f"liveness: run {head.run_id} is {head.status}, and nothing is left that would wake it"
        elif head.due_at is not None:
            yield f"rest: run {head.run_id} is over, and still in the due index"
        yield from check_left(world, head)
        events, published = world.observer.events[head.run_id], world.settings.published
        yield from world.ledger.chronicle.check_told(head.run_id, events, published)
    yield from _check_left_behind(world)
    yield from _check_effects(world)
    without = {story.run_id for story in clients.stories if story.run_id is not None and story.without_undo}
    yield from world.takings.check_end(world.observer.heads, without)
    yield from world.ledger.check_end()
    yield from _check_heard(world, deployment)
    kernel = _reader(world, deployment)
    yield from check_readings(world, kernel)
    for story in clients.stories:
        yield from _check_story(world, deployment, kernel, story)


def check_told(world: World, head: Head) -> Iterator[str]:
    """All events of a run were accepted in order, or are dead letters."""
    observer = world.observer
    total, through = len(observer.events[head.run_id]), observer.accepted_through[head.run_id]
    if head.untold:
        yield f"I5: run {head.run_id} has {head.untold} events that were never told"
    if through < total:
        yield f"I5: of {total} events of run {head.run_id}, {through} were accepted in order"


def _check_heard(world: World, deployment: Deployment) -> Iterator[str]:
    """Plugins hear of every event that they ask for, in order but for repeats."""
    types = {type_ for plugin in deployment.scenario.plugins for type_ in plugin.event_types}
    for run_id, events in world.observer.events.items() if types else ():
        wanted = [place for place, event in enumerate(events, 1) if event.type in types]
        first = list(dict.fromkeys(world.heard[run_id]))
        dead = {sequence for run, sequence in world.observer.dead if run == run_id}
        if [one for one in wanted if one not in dead] != [one for one in first if one not in dead]:
            yield f"I5: plugins heard events {first} of run {run_id}, and should have heard {wanted}"


def _check_left_behind(world: World) -> Iterator[str]:
    if world.jobs.pending():
        yield f"rest: {world.jobs.pending()} messages are left in the queue"
    if world.timers.next_fire_at() is not None:
        yield "rest: a schedule is left"
    until = world.now + _FOREVER
    for shard in range(world.settings.due_shards):
        if world.persistence.list_due(shard, until=until, limit=1).runs:
            yield f"rest: shard {shard} of the due index is not empty"


def _check_effects(world: World) -> Iterator[str]:
    """A key belongs to one stage of one run, and to one execution of it: the same on every attempt,
    another one after a rerun."""
    keys: defaultdict[tuple[str, str, int], set[str]] = defaultdict(set)
    for key, applied in world.effects.items():
        if len(set(applied)) > 1:
            yield f"effects: the key {key} was used by {sorted(set(applied))}"
        for place in applied:
            keys[place].add(key)
    for (run_id, stage_id, base), used in keys.items():
        if len(used) > 1:
            yield f"effects: stage {stage_id} of run {run_id} had its effect {len(used)} times from epoch {base} on"


def _reader(world: World, deployment: Deployment) -> Kernel:
    """A kernel that only reads, over the ports themselves."""
    return Kernel(
        persistence=world.persistence,
        blob_store=world.blobs,
        job_transport=world.jobs,
        event_sink=world.sink,
        scheduler=world.timers,
        clock=world.clock,
        registry=deployment.scenario.registry(deployment.deploys),
        settings=world.settings,
    )


def _check_story(world: World, deployment: Deployment, kernel: Kernel, story: Story) -> Iterator[str]:
    if story.run_id is None:
        return
    head = world.persistence.load_head(story.run_id)
    if head is None:
        yield f"lost: run {story.run_id} was answered, and is not there"
        return
    if head.status is Status.COMPLETED:
        yield from _check_counted(world, kernel, head)
    yield from _check_lived(world, kernel, head)
    # A key is kept as long as what it is for.
    if world.observer.reruns[story.run_id] > 1 and world.settings.retention > LONGER_THAN_A_HISTORY:
        yield f"I6: run {story.run_id} was started again {world.observer.reruns[story.run_id]} times under one key"
    ended = _ended(world, deployment, kernel, story, head=head)
    verdict = story.plot.judge(ended)
    if verdict is not None:
        yield f"outcome: run {head.run_id} of {head.workflow_id}: {verdict}"


def _check_lived(world: World, kernel: Kernel, head: Head) -> Iterator[str]:
    """A run has had the time and the attempts that its definition promises, and no more of them."""
    definition = kernel.parts.definitions.registry.resolve(head.workflow_id, head.fingerprint)
    if definition.fingerprint != head.fingerprint:
        return
    begun_at = world.ledger.chronicle.begun_at[head.run_id]
    if head.deadline < begun_at + definition.max_duration - 2 * world.bounds.skew - _UNANSWERED:
        yield f"deadline: run {head.run_id} was started at {begun_at}, and ends at {head.deadline}"
    for record in records.listed(head, world.persistence):
        stages = definition.groups[record.key.group] if record.key.group < len(definition.groups) else ()
        for one in stages:
            stage = one.undoing if record.key.part and one.undoing is not None else one
            if stage.id == record.key.stage_id and record.attempt > stage.retry.max_attempts:
                yield f"attempts: stage {stage.id} of run {head.run_id} had attempt {record.attempt}"


def _check_counted(world: World, kernel: Kernel, head: Head) -> Iterator[str]:
    """Each stage of a completed run was counted once in the generation that its output is of."""
    definition = kernel.parts.definitions.closest(head)
    if definition.fingerprint != head.fingerprint:
        return
    whole = winners.completed(head, world.persistence)
    for group, stages in enumerate(definition.plan):
        for ordinal, stage_id in enumerate(stages):
            if whole.winner(group, ordinal) == SKIPPED_EPOCH:
                yield from _check_never_ran(world, head, group, stage_id)
                continue
            generations = {
                base
                for run, base, at, place in world.observer.finished
                if (run, at, place) == (head.run_id, group, ordinal)
            }
            if head.base_of(group) not in generations:
                yield f"counted: stage {stage_id} of run {head.run_id} has no outcome, and the run is COMPLETED"


def _check_never_ran(world: World, head: Head, group: int, stage_id: str) -> Iterator[str]:
    """A stage that was skipped has not run since that was decided."""
    for record in records.listed(head, world.persistence):
        if (record.key.group, record.key.stage_id) == (group, stage_id) and record.key.epoch >= head.base_of(group):
            yield f"choices: stage {stage_id} of run {head.run_id} was skipped, and ran under epoch {record.key.epoch}"


def _ended(world: World, deployment: Deployment, kernel: Kernel, story: Story, *, head: Head) -> Ended:
    outcome = kernel.queries.outcome(head) if head.status is Status.COMPLETED else None
    observer = world.observer
    suspended = [event.at for event in observer.events[head.run_id] if event.type == "stage:suspended"]
    return Ended(
        head=head,
        output=outcome.output if outcome else None,
        cancelled=story.cancelled,
        reruns=observer.reruns[head.run_id],
        lost_leases=observer.lost_leases[head.run_id],
        deployed=deployment.deploys > 0,
        signalled={name: at for (run, name), at in observer.signalled.items() if run == head.run_id},
        suspended_at=suspended[-1] if suspended else None,
        steps=world.persistence.list_steps(head.run_id),
    )
