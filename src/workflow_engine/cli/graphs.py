"""A workflow as a graph: Mermaid, SVG, or a line of text; with the state of a run on it, if there is
one. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from rich.text import Text

from workflow_engine.authoring import WorkflowDefinition
from workflow_engine.cli.timeline import MARKS, STYLES
from workflow_engine.kernel.queries.views import RunView
from workflow_engine.model.status import Status

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 176, 44, 56, 16, 16
# Fill and stroke, legible on white and on black.
COLOURS = {
    None: ("#eef2ff", "#4f5d8c"),
    Status.PENDING: ("#f1f3f5", "#868e96"),
    Status.RUNNING: ("#d0ebff", "#1971c2"),
    Status.SUSPENDED: ("#fff3bf", "#e67700"),
    Status.COMPLETED: ("#d3f9d8", "#2b8a3e"),
    Status.FAILED: ("#ffe3e3", "#c92a2a"),
    Status.CANCELLED: ("#f3d9fa", "#862e9c"),
    Status.SKIPPED: ("#f1f3f5", "#adb5bd"),
}


@dataclass(frozen=True, slots=True)
class Graph:
    """The ids of the stages by group, and their states, by id, where it is a run's."""

    title: str
    groups: Sequence[Sequence[str]]
    states: Mapping[str, Status]

    @classmethod
    def of_workflow(cls, definition: WorkflowDefinition) -> "Graph":
        """A workflow, without states."""
        return cls(definition.id, definition.plan, {})

    @classmethod
    def of_run(cls, view: RunView) -> "Graph":
        """A run's workflow, with the states of its stages."""
        groups: dict[int, list[str]] = {}
        for stage in view.stages:
            groups.setdefault(stage.group, []).append(stage.stage_id)
        states = {stage.stage_id: stage.status for stage in view.stages}
        return cls(f"{view.head.workflow_id} {view.head.run_id}", list(groups.values()), states)


def mermaid(graph: Graph) -> str:
    """The graph in Mermaid's language, as GitHub and many editors draw it."""
    lines = ["flowchart LR"]
    names = {stage_id: f"s{number}" for number, stage_id in enumerate(_stages(graph))}
    lines += [f'    {names[stage_id]}["{_label(graph, stage_id)}"]' for stage_id in names]
    for before, after in _pairs(graph):
        lines.append(f"    {names[before]} --> {names[after]}")
    for status in dict.fromkeys(graph.states.values()):
        fill, stroke = COLOURS[status]
        lines.append(f"    classDef {status.value} fill:{fill},stroke:{stroke},color:#212529")
    lines += [f"    class {names[stage_id]} {status.value}" for stage_id, status in graph.states.items()]
    return "\n".join(lines) + "\n"


def svg(graph: Graph) -> str:
    """The graph as a picture: groups from left to right, the stages of a group below each other."""
    tallest = max(len(group) for group in graph.groups)
    width = 2 * MARGIN + len(graph.groups) * BOX_WIDTH + (len(graph.groups) - 1) * GAP_X
    height = 2 * MARGIN + tallest * BOX_HEIGHT + (tallest - 1) * GAP_Y
    places = _places(graph, height)
    edges = [_edge(places[before], places[after]) for before, after in _pairs(graph)]
    boxes = [_box(graph, stage_id, *places[stage_id]) for stage_id in _stages(graph)]
    body = "\n".join([*edges, *boxes])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="13">\n'
        f"<title>{escape(graph.title)}</title>\n{body}\n</svg>\n"
    )


def text_graph(view: RunView) -> Text:
    """A run's stages on one line, each with its mark: ``✓ split → (✓ keywords | ✗ language) → · report``."""
    graph = Graph.of_run(view)
    line = Text()
    for number, group in enumerate(graph.groups):
        line.append(" → " if number else "", style="dim")
        line.append("(" if len(group) > 1 else "", style="dim")
        for place, stage_id in enumerate(group):
            line.append(" | " if place else "", style="dim")
            status = graph.states[stage_id]
            line.append(f"{MARKS[status]} {stage_id}", style=STYLES[status])
        line.append(")" if len(group) > 1 else "", style="dim")
    return line


def _stages(graph: Graph) -> list[str]:
    return [stage_id for group in graph.groups for stage_id in group]


def _pairs(graph: Graph) -> list[tuple[str, str]]:
    """Which stage comes after which: all of a group after all of the one before."""
    return [
        (before, after)
        for one, other in zip(graph.groups, graph.groups[1:], strict=False)
        for before in one
        for after in other
    ]


def _label(graph: Graph, stage_id: str) -> str:
    status = graph.states.get(stage_id)
    return stage_id if status is None else f"{MARKS[status]} {stage_id}"


def _places(graph: Graph, height: int) -> dict[str, tuple[int, int]]:
    """The upper left corner of each box; groups are centred."""
    places: dict[str, tuple[int, int]] = {}
    for column, group in enumerate(graph.groups):
        taken = len(group) * BOX_HEIGHT + (len(group) - 1) * GAP_Y
        for row, stage_id in enumerate(group):
            top = (height - taken) // 2 + row * (BOX_HEIGHT + GAP_Y)
            places[stage_id] = (MARGIN + column * (BOX_WIDTH + GAP_X), top)
    return places


def _edge(before: tuple[int, int], after: tuple[int, int]) -> str:
    x1, y1 = before[0] + BOX_WIDTH, before[1] + BOX_HEIGHT // 2
    x2, y2 = after[0], after[1] + BOX_HEIGHT // 2
    bend = (x1 + x2) // 2
    curve = f"M {x1} {y1} C {bend} {y1}, {bend} {y2}, {x2 - 6} {y2}"
    head = f"M {x2 - 7} {y2 - 4} L {x2} {y2} L {x2 - 7} {y2 + 4} z"
    return f'<path d="{curve}" fill="none" stroke="#868e96" stroke-width="1.5"/><path d="{head}" fill="#868e96"/>'


def _box(graph: Graph, stage_id: str, left: int, top: int) -> str:
    fill, stroke = COLOURS[graph.states.get(stage_id)]
    label = _label(graph, stage_id)
    # About 7 px a character at 13 px: a longer name is squeezed into its box.
    squeezed = f' textLength="{BOX_WIDTH - 16}" lengthAdjust="spacingAndGlyphs"' if len(label) > 22 else ""
    return (
        f'<rect x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8" fill="{fill}" '
        f'stroke="{stroke}" stroke-width="1.5"/><text x="{left + BOX_WIDTH // 2}" y="{top + BOX_HEIGHT // 2}" '
        f'text-anchor="middle" dominant-baseline="central" fill="#212529"{squeezed}>{escape(label)}</text>'
    )
