"""Which lease of a stage won, where the head has no room to say it of every stage.

The head names the winners that are not their group's base. Of a long chain whose stages were tried
again that would be a name a stage, in an item that each stage writes. So, from some number on, they
are put into an item of their own before the next commit, which then only says up to where.

What is put there is committed already, and does not change: who leaves a group has decided for good
who won in it, until a rerun from there draws another base, and looks under that. So it does no harm
if the commit is refused, or if somebody late puts the same again.
"""

from collections import defaultdict
from dataclasses import replace

from workflow_engine.model.altering import altered
from workflow_engine.model.commits import Exclusive
from workflow_engine.model.limits import HEAD_OUTLIVES, MAX_HEAD_WINNERS
from workflow_engine.model.runs import Head, Winners
from workflow_engine.ports.persistence import Persistence


def fitted(commit: Exclusive, persistence: Persistence) -> Exclusive:
    """*commit*, with the winners that its head already had put aside, if those are many."""
    if commit.before is None or commit.before.is_closing or len(commit.before.winners) <= MAX_HEAD_WINNERS:
        return commit
    before, after = commit.before, commit.after
    for page in _pages(before):
        persistence.put_winners(page)
    left = {place: epoch for place, epoch in after.winners.items() if place not in before.winners}
    # All that it had are of earlier groups.
    return replace(commit, after=altered(after, winners=left, winners_from=before.group))


def completed(head: Head, persistence: Persistence) -> Head:
    """*head* with the winners of all its groups: to be read, never to be written."""
    if not head.winners_from:
        return head
    found = {
        (group, ordinal): epoch
        for page in persistence.load_winners(head.run_id)
        for (group, ordinal), epoch in page.epochs.items()
        if group < head.winners_from and page.base == head.base_of(group)
    }
    return altered(head, winners={**found, **head.winners}, winners_from=0)


def _pages(head: Head) -> list[Winners]:
    """The head's winners, those of one base together."""
    epochs: defaultdict[int, dict[tuple[int, int], int]] = defaultdict(dict)
    for place, epoch in head.winners.items():
        epochs[head.base_of(place[0])][place] = epoch
    expires_at = head.expires_at - HEAD_OUTLIVES
    return [Winners(head.run_id, base, max(found)[0], found, expires_at) for base, found in epochs.items()]
