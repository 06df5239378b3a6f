"""Who watches. What is told here is for people and alarms; nothing of it decides anything."""

from typing import Protocol

from typing_extensions import override


class Observer(Protocol):
    """Hears of what happens, at once and in the same thread. Must not raise, and must be quick."""

    def stage_started(self, run_id: str, workflow_id: str, stage_id: str, attempt: int) -> None:
        """A stage's function is about to be called."""
        ...

    def stage_ended(self, workflow_id: str, stage_id: str, outcome: str, seconds: float) -> None:
        """It returned or raised after *seconds*; *outcome* is ``completed``, ``suspended`` or
        ``failed``."""
        ...

    def happened(self, fact: str, count: int = 1) -> None:
        """One of ``RunsStarted RunsCompleted RunsFailed RunsCancelled LeasesLost Ghosts
        EventsRefused DeadLetters ArchivesPostponed ArchivesGivenUp UndosFailed UndosPostponed`` happened *count* times."""
        ...


class NoObserver(Observer):
    """Nobody watches."""

    @override
    def stage_started(self, run_id: str, workflow_id: str, stage_id: str, attempt: int) -> None:
        pass

    @override
    def stage_ended(self, workflow_id: str, stage_id: str, outcome: str, seconds: float) -> None:
        pass

    @override
    def happened(self, fact: str, count: int = 1) -> None:
        pass
