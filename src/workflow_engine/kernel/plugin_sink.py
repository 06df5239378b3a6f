"""An event sink that lets plugins hear of events before it passes them on."""

from collections.abc import Sequence
from inspect import iscoroutinefunction

from typing_extensions import override

from workflow_engine.authoring.plugins import Plugin
from workflow_engine.kernel.execution.failures import message_of
from workflow_engine.kernel.execution.time_limit import StageRunner, run_within
from workflow_engine.model.events import RunEvent
from workflow_engine.ports.events import EventSink, Refusal

_NOT_TRIED = Refusal("not tried: an earlier event of the run was refused", counts=False)


class PluginRunner(EventSink):
    """Calls *plugins* in order for each event, and then tells *sink* those that none refused.

    A plugin that raises refuses the event, and with it the later ones of the same run, which keep
    their order. Other runs' events go on.
    """

    def __init__(self, plugins: Sequence[Plugin], sink: EventSink, run: StageRunner = run_within) -> None:
        self._plugins, self._sink, self._run = tuple(plugins), sink, run
        self._types = {plugin.id: plugin.event_types for plugin in self._plugins}

    @classmethod
    def before(cls, sink: EventSink, plugins: Sequence[Plugin], run: StageRunner) -> EventSink:
        """*sink* behind *plugins*, or as it is where there are none."""
        return cls(plugins, sink, run) if plugins else sink

    @override
    def emit(self, events: Sequence[RunEvent]) -> Sequence[Refusal | None]:
        answers: dict[int, Refusal | None] = {}
        refused_runs: set[str] = set()
        passed: list[int] = []
        for index, event in enumerate(events):
            refusal = _NOT_TRIED if event.run_id in refused_runs else self._heard(event)
            if refusal is None:
                passed.append(index)
            else:
                refused_runs.add(event.run_id)
                answers[index] = refusal
        told = self._sink.emit([events[index] for index in passed]) if passed else []
        answers.update(zip(passed, told, strict=True))
        return [answers[index] for index in range(len(events))]

    def _heard(self, event: RunEvent) -> Refusal | None:
        for plugin in self._plugins:
            if event.type not in self._types[plugin.id]:
                continue
            try:
                self._call(plugin, event)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                # Whatever a plugin raises is its own affair, ``SystemExit`` too: the event must not be
                # lost for it, and neither must a tick, with all the runs that it looks at.
                return Refusal(f"plugin {plugin.id}: {type(error).__name__}: {message_of(error)}", counts=True)
        return None

    def _call(self, plugin: Plugin, event: RunEvent) -> None:
        self._run(
            lambda: plugin.handle(event),
            stage_id=f"plugin {plugin.id}",
            timeout=plugin.timeout,
            is_async=iscoroutinefunction(plugin.handle),
        )
