"""What follows what: the groups of a workflow in their order, and the stages in them.

Groups are numbered from 0. Whoever must know which group comes next, which one was before, or which
stage stands where, asks here, so that the order of groups is a matter of this module alone.

A run that is closing goes through groups of other numbers: one in which what a group has done is undone, for
each that has something to undo, the last one first, and then that of the stage that is run on a failure. They
ascend like the others, so that the next one has the next number.
"""

from collections.abc import Iterable, Iterator, Mapping

from workflow_engine.model.ids import StageId
from workflow_engine.model.status import Status

# Above any group of a workflow.
CLOSING = 1_000_000
ON_FAILURE = 2 * CLOSING
# Where the records of the stage that is run on a failure lie: behind those of all groups.
BEHIND_ALL = 9_999


class Plan(tuple[tuple[str, ...], ...]):
    """The ids of a workflow's stages by group: a value that equals, and is as cheap as, nested tuples.

    *conditional* are the groups of which it is decided what runs before a run enters them, *single* those of which one
    stage runs at the most. *undos* are the ordinals of the stages that can be undone, by group; *undo_on* the ends of a run on which they
    are. *on_failure* is the stage that is run last, if the end is one of *failure_on*.
    """

    conditional: frozenset[int]
    single: frozenset[int]
    undos: Mapping[int, frozenset[int]]
    undo_on: frozenset[Status]
    on_failure: str | None
    failure_on: frozenset[Status]

    def __new__(
        cls,
        groups: Iterable[tuple[str, ...]] = (),
        *,
        conditional: frozenset[int] = frozenset(),
        single: frozenset[int] = frozenset(),
        undos: Mapping[int, frozenset[int]] | None = None,
        undo_on: frozenset[Status] = frozenset(),
        on_failure: str | None = None,
        failure_on: frozenset[Status] = frozenset(),
    ) -> "Plan":
        """The plan of these *groups*."""
        plan = super().__new__(cls, groups)
        plan.conditional, plan.single = conditional, single
        plan.undos, plan.undo_on = undos or {}, undo_on if undos else frozenset()
        plan.on_failure, plan.failure_on = on_failure, failure_on if on_failure else frozenset()
        return plan

    @property
    def first(self) -> tuple[str, ...]:
        """The stages that a run begins with."""
        return self[0]

    @property
    def closes_on(self) -> frozenset[Status]:
        """The ends before which a run may have something to undo, or a stage to run."""
        return self.undo_on | self.failure_on

    def stages(self, group: int) -> tuple[str, ...]:
        """The stages of *group*, in the order of their ordinals."""
        if group == ON_FAILURE:
            return (self.on_failure or "",)
        return self[place_of(group)]

    def stage(self, group: int, ordinal: int) -> StageId:
        """The stage at that place."""
        return StageId(self.stages(group)[ordinal])

    def source_of(self, group: int) -> tuple[str, ...]:
        """The stages whose outputs *group* takes; none for the first group, which takes the run's input."""
        earlier = before(group)
        return () if earlier is None else self[earlier]

    def is_last(self, group: int) -> bool:
        """Whether a run is complete behind *group*."""
        return group + 1 >= len(self)

    def is_behind(self, group: int) -> bool:
        """Whether *group* would come behind the last one."""
        return group >= len(self)

    def until(self, group: int) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The groups before *group*, each with its number, in order."""
        return enumerate(self[:group])

    def between(self, group: int, last: int) -> list[str]:
        """The stages from *group* up to and with group *last*, or the last one there is."""
        return [stage for stages in self[group : last + 1] for stage in stages]

    def nearest(self, group: int) -> tuple[str, ...]:
        """The stages of *group*, or of the last group where there is none of that number."""
        return self[min(group, len(self) - 1)]


def is_closing(group: int) -> bool:
    """Whether runs that are closing go through *group*."""
    return group >= CLOSING


def undo_of(group: int) -> int:
    """The group in which what *group* has done is undone."""
    return ON_FAILURE - 1 - group


def place_of(group: int) -> int:
    """The group of the workflow that *group* is about; ``BEHIND_ALL`` for the stage that is run on a failure."""
    if group < CLOSING:
        return group
    return BEHIND_ALL if group == ON_FAILURE else ON_FAILURE - 1 - group


def after(group: int) -> int:
    """The group that a run enters behind *group*."""
    return group + 1


def before(group: int) -> int | None:
    """The group whose outputs *group* takes; ``None`` for the first, which takes the run's input."""
    return group - 1 if group > 0 else None


def through(group: int) -> range:
    """The groups up to and with *group*."""
    return range(group + 1)


def number(group: int) -> int:
    """*group* as a reader counts, from 1."""
    return group + 1
