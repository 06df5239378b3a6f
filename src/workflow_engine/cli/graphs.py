"""A workflow as a graph: Mermaid, SVG, or a line of text; with the state of a run on it, if there is
one. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from rich.text import Text

from workflow_engine.authoring import WorkflowDefinition
from workflow_engine.cli.timeline import MARKS, STYLES
from workflow_engine.kernel.queries.views import RunView
from workflow_engine.model.status import Status

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 176, 44, 56, 16, 16
# What a choice takes more than a gap: its diamond, and the names of its cases on the way to their stages.
DIAMOND, CASES_WIDTH = 12, 88
WHEN, OTHERWISE = "when", "otherwise"
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
    """The ids of the stages by group, and their states, by id, where it is a run's. *choices* are the groups of which one
    stage runs, each with the cases of its stages, *conditional* the stages that may be skipped besides."""

    title: str
    groups: Sequence[Sequence[str]]
    states: Mapping[str, Status]
    choices: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    conditional: frozenset[str] = frozenset()

    @classmethod
    def of_workflow(cls, definition: WorkflowDefinition) -> "Graph":
        """A workflow, without states."""
        return cls(definition.id, definition.plan, {}, _choices(definition), _conditional(definition))

    @classmethod
    def of_run(cls, view: RunView) -> "Graph":
        """A run's workflow, with the states of its stages."""
        groups: dict[int, list[str]] = {}
        for stage in view.stages:
            groups.setdefault(stage.group, []).append(stage.stage_id)
        states = {stage.stage_id: stage.status for stage in view.stages}
        title, known = f"{view.head.workflow_id} {view.head.run_id}", view.definition
        if known is None:
            return cls(title, list(groups.values()), states)
        return cls(title, list(groups.values()), states, _choices(known), _conditional(known))


def _choices(definition: WorkflowDefinition) -> Mapping[int, Mapping[str, str]]:
    """What the way to each stage of a choice is called: its cases."""
    found: dict[int, dict[str, str]] = {}
    for group, choice in definition.choices.items():
        names = [*choice.cases.items(), *([(OTHERWISE, choice.otherwise)] if choice.otherwise else [])]
        found[group] = {
            stage.id: ", ".join(case for case, stage_id in names if stage_id == stage.id)
            for stage in definition.groups[group]
        }
    return found


def _conditional(definition: WorkflowDefinition) -> frozenset[str]:
    return frozenset(stage.id for group in definition.groups for stage in group if stage.when is not None)


def document(graph: Graph) -> dict[str, Any]:
    """The graph for other programs; what is decided on the way is there where something is."""
    choices = [{"group": number + 1, "cases": dict(cases)} for number, cases in graph.choices.items()]
    return {
        "title": graph.title,
        "groups": [list(group) for group in graph.groups],
        "states": dict(graph.states),
        **({"choices": choices} if choices else {}),
        **({"conditional": sorted(graph.conditional)} if graph.conditional else {}),
    }


def mermaid(graph: Graph) -> str:
    """The graph in Mermaid's language, as GitHub and many editors draw it."""
    lines = ["flowchart LR"]
    names = {stage_id: f"s{number}" for number, stage_id in enumerate(_stages(graph))}
    lines += [f'    {names[stage_id]}["{_label(graph, stage_id)}"]' for stage_id in names]
    lines += _arrows(graph, names)
    for status in dict.fromkeys(graph.states.values()):
        fill, stroke = COLOURS[status]
        lines.append(f"    classDef {status.value} fill:{fill},stroke:{stroke},color:#212529")
    lines += [f"    class {names[stage_id]} {status.value}" for stage_id, status in graph.states.items()]
    return "\n".join(lines) + "\n"


def _arrows(graph: Graph, names: Mapping[str, str]) -> Iterator[str]:
    """Which comes after which: a choice is a diamond with a case on each arrow, what may be skipped has a broken one."""
    for number, group in enumerate(graph.groups):
        earlier = [names[stage_id] for stage_id in graph.groups[number - 1]] if number else []
        if number in graph.choices:
            yield f'    c{number}{{"?"}}'
            yield from (f"    {before} --> c{number}" for before in earlier)
            cases = graph.choices[number]
            yield from (f'    c{number} -->|"{_quoted(cases[stage_id])}"| {names[stage_id]}' for stage_id in group)
            continue
        for before in earlier:
            for stage_id in group:
                arrow = f"-. {WHEN} .->" if stage_id in graph.conditional else "-->"
                yield f"    {before} {arrow} {names[stage_id]}"


def _quoted(label: str) -> str:
    """*label* between quotes, which Mermaid writes as an entity."""
    return label.replace("&", "#amp;").replace('"', "#quot;")


def svg(graph: Graph) -> str:
    """The graph as a picture: groups from left to right, the stages of a group below each other."""
    tallest = max(len(group) for group in graph.groups)
    width = _left(graph, len(graph.groups) - 1) + BOX_WIDTH + MARGIN
    height = 2 * MARGIN + tallest * BOX_HEIGHT + (tallest - 1) * GAP_Y
    places = _places(graph, height)
    edges = [edge for number in range(len(graph.groups)) for edge in _edges(graph, number, places, height)]
    boxes = [_box(graph, stage_id, *places[stage_id]) for stage_id in _stages(graph)]
    body = "\n".join([*edges, *boxes])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="13">\n'
        f"<title>{escape(graph.title)}</title>\n{body}\n</svg>\n"
    )


def text_graph(view: RunView) -> Text:
    """A run's stages on one line, each with its mark: ``✓ split → (✓ keywords | ✗ language) → · report``. A choice has
    its cases (``◇(small: ✓ by-mail | large: - by-truck)``), what may be skipped a question mark."""
    graph = Graph.of_run(view)
    line = Text()
    for number, group in enumerate(graph.groups):
        line.append(" → " if number else "", style="dim")
        cases = graph.choices.get(number)
        opening = "◇(" if cases else "(" if len(group) > 1 else ""
        line.append(opening, style="dim")
        for place, stage_id in enumerate(group):
            line.append(" | " if place else "", style="dim")
            line.append(f"{cases[stage_id]}: " if cases else "", style="dim")
            status = graph.states[stage_id]
            line.append(f"{MARKS[status]} {stage_id}", style=STYLES[status])
            line.append("?" if stage_id in graph.conditional else "", style="dim")
        line.append(")" if opening else "", style="dim")
    return line


def _stages(graph: Graph) -> list[str]:
    return [stage_id for group in graph.groups for stage_id in group]


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
            places[stage_id] = (_left(graph, column), top)
    return places


def _left(graph: Graph, column: int) -> int:
    """The left edge of the boxes of a *column*, which has the diamonds of all choices up to it on its left."""
    choices = sum(group <= column for group in graph.choices)
    first = 2 * DIAMOND if 0 in graph.choices else 0
    return MARGIN + first + column * (BOX_WIDTH + GAP_X) + choices * CASES_WIDTH


def _edges(graph: Graph, number: int, places: Mapping[str, tuple[int, int]], height: int) -> Iterator[str]:
    """What leads to the boxes of a group: from those before it, by way of the diamond of a choice."""
    ends = [(x + BOX_WIDTH, y + BOX_HEIGHT // 2) for x, y in _of_group(graph, number - 1, places)]
    starts = [(x, y + BOX_HEIGHT // 2) for x, y in _of_group(graph, number, places)]
    if number not in graph.choices:
        for start, stage_id in zip(starts, graph.groups[number], strict=True):
            said = WHEN if stage_id in graph.conditional else ""
            yield from (_edge(end, start, said=said, broken=bool(said)) for end in ends)
        return
    x, y = _left(graph, number) - CASES_WIDTH - DIAMOND, height // 2
    yield from (_edge(end, (x - DIAMOND, y)) for end in ends)
    corners = f"{x - DIAMOND},{y} {x},{y - DIAMOND} {x + DIAMOND},{y} {x},{y + DIAMOND}"
    yield f'<polygon points="{corners}" fill="#fff9db" stroke="#868e96" stroke-width="1.5"/>'
    for start, stage_id in zip(starts, graph.groups[number], strict=True):
        yield _edge((x + DIAMOND, y), start, said=graph.choices[number][stage_id])


def _of_group(graph: Graph, number: int, places: Mapping[str, tuple[int, int]]) -> list[tuple[int, int]]:
    return [places[stage_id] for stage_id in graph.groups[number]] if number >= 0 else []


def _edge(end: tuple[int, int], start: tuple[int, int], *, said: str = "", broken: bool = False) -> str:
    (x1, y1), (x2, y2) = end, start
    bend = (x1 + x2) // 2
    curve = f"M {x1} {y1} C {bend} {y1}, {bend} {y2}, {x2 - 6} {y2}"
    head = f"M {x2 - 7} {y2 - 4} L {x2} {y2} L {x2 - 7} {y2 + 4} z"
    dashes = ' stroke-dasharray="4 3"' if broken else ""
    path = (
        f'<path d="{curve}" fill="none" stroke="#868e96" stroke-width="1.5"{dashes}/><path d="{head}" fill="#868e96"/>'
    )
    if not said:
        return path
    # About 6 px a character at 11 px.
    squeezed = f' textLength="{CASES_WIDTH - 10}" lengthAdjust="spacingAndGlyphs"' if len(said) > 13 else ""
    return (
        f'{path}<text x="{x2 - 9}" y="{y2 - 7}" text-anchor="end" font-size="11" fill="#868e96"{squeezed}>'
        f"{escape(said)}</text>"
    )


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
