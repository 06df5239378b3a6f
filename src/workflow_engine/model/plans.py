"""What follows what: the groups of a workflow in their order, and the stages in them.

Groups are numbered from 0. Whoever must know which group comes next, which one was before, or which
stage stands where, asks here, so that the order of groups is a matter of this module alone.
"""

from collections.abc import Iterator

from workflow_engine.model.ids import StageId


class Plan(tuple[tuple[str, ...], ...]):
    """The ids of a workflow's stages by group: a value that equals, and is as cheap as, nested tuples."""

    __slots__ = ()

    @property
    def first(self) -> tuple[str, ...]:
        """The stages that a run begins with."""
        return self[0]

    def stages(self, group: int) -> tuple[str, ...]:
        """The stages of *group*, in the order of their ordinals."""
        return self[group]

    def stage(self, group: int, ordinal: int) -> StageId:
        """The stage at that place."""
        return StageId(self[group][ordinal])

    def source_of(self, group: int) -> tuple[str, ...]:
        """The stages whose outputs *group* takes; none for the first group, which takes the run's input."""
        earlier = before(group)
        return () if earlier is None else self[earlier]

    def is_last(self, group: int) -> bool:
        """Whether a run is complete behind *group*."""
        return group + 1 >= len(self)

    def until(self, group: int) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The groups before *group*, each with its number, in order."""
        return enumerate(self[:group])

    def between(self, group: int, last: int) -> list[str]:
        """The stages from *group* up to and with group *last*, or the last one there is."""
        return [stage for stages in self[group : last + 1] for stage in stages]

    def nearest(self, group: int) -> tuple[str, ...]:
        """The stages of *group*, or of the last group where there is none of that number."""
        return self[min(group, len(self) - 1)]


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
