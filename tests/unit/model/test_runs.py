from dataclasses import replace
from datetime import timedelta

from workflow_engine.model.commits import newest_base
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.runs import Annotation, KeptSignal, StageKey
from workflow_engine.model.status import LIVE, TERMINAL, Status
from workflow_engine.testing.builders import new_event, new_head
from workflow_engine.testing.clock import START

HEAD = new_head(START)


def test_the_first_leases_of_a_new_run_have_epoch_0() -> None:
    assert (HEAD.base, HEAD.base_of(7), newest_base(HEAD)) == (0, 0, 0)


def test_a_rerun_draws_one_epoch_for_the_groups_it_runs_again() -> None:
    rerun = replace(HEAD, group=3, bases=((0, 0), (2, 5)))
    assert [rerun.base_of(group) for group in range(4)] == [0, 0, 5, 5]
    assert (rerun.base, newest_base(rerun)) == (5, 5)


def test_the_newest_of_reruns_from_the_same_group_counts() -> None:
    rerun = replace(HEAD, group=1, bases=((0, 0), (1, 5), (1, 9)))
    assert (rerun.base_of(0), rerun.base) == (0, 9)


def test_a_winner_is_named_only_where_it_is_not_the_first() -> None:
    head = replace(HEAD, bases=((0, 0), (1, 4)), winners={(0, 2): 3})
    assert (head.winner(0, 0), head.winner(0, 2), head.winner(1, 2)) == (0, 3, 4)


def test_untold_events_are_those_in_the_head_and_those_beside_it() -> None:
    assert replace(HEAD, spilled=2, events=(new_event(START),) * 3).untold == 5
    assert HEAD.untold == 0


def test_a_signal_is_listed_by_name_and_key() -> None:
    kept = KeptSignal(RunId("run"), "approval", "k1", "h", b"{}", START, START + timedelta(days=1))
    assert kept.element == "approval#k1"


def test_an_annotation_is_of_the_run_or_of_a_stage() -> None:
    note = Annotation(RunId("run"), "id", START, "seen", True, "user", None, None, START)
    assert note.scope == "run"
    assert replace(note, stage=StageKey(0, StageId("count"), 0)).scope == "count"


def test_every_status_is_live_or_terminal() -> None:
    assert set(Status) == LIVE | TERMINAL
    assert not LIVE & TERMINAL
    assert {status for status in Status if status.is_terminal} == TERMINAL
