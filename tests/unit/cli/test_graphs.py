"""Workflows as pictures."""

import xml.etree.ElementTree as ElementTree

from tests.unit.cli.conftest import ASKING, create, work
from workflow_engine.cli.graphs import Graph, mermaid, svg, text_graph
from workflow_engine.model.status import Status
from workflow_engine.wiring.memory import MemoryEngine

SVG = "{http://www.w3.org/2000/svg}"


def test_mermaid_has_every_stage_and_every_arrow() -> None:
    lines = [line.strip() for line in mermaid(Graph.of_workflow(ASKING)).splitlines()]

    assert lines[0] == "flowchart LR"
    assert {'s0["double"]', 's1["left"]', 's2["right"]', 's3["ask"]'} < set(lines)
    assert {line for line in lines if "-->" in line} == {
        "s0 --> s1",
        "s0 --> s2",
        "s1 --> s3",
        "s2 --> s3",
    }


def test_svg_is_well_formed_and_has_a_box_for_every_stage_in_its_view() -> None:
    picture = ElementTree.fromstring(svg(Graph.of_workflow(ASKING)))
    boxes = list(picture.iter(f"{SVG}rect"))

    assert [text.text for text in picture.iter(f"{SVG}text")] == ["double", "left", "right", "ask"]
    assert len(boxes) == 4
    for box in boxes:
        assert 0 <= float(box.attrib["x"]) <= float(picture.attrib["width"]) - float(box.attrib["width"])
        assert 0 <= float(box.attrib["y"]) <= float(picture.attrib["height"]) - float(box.attrib["height"])


def test_no_two_boxes_overlap() -> None:
    wide = Graph("wide", [[f"stage-{group}-{number}" for number in range(group + 1)] for group in range(6)], {})
    corners = [
        (float(box.attrib["x"]), float(box.attrib["y"])) for box in ElementTree.fromstring(svg(wide)).iter(f"{SVG}rect")
    ]

    assert len(set(corners)) == 21


def test_a_title_is_text_and_not_markup() -> None:
    strange = Graph("<script>&", [["stage"]], {})

    assert ElementTree.fromstring(svg(strange)).findtext(f"{SVG}title") == "<script>&"


def test_a_run_s_state_is_on_its_graph(engine: MemoryEngine) -> None:
    run_id = create(engine, 1)
    work(engine)
    view = engine.kernel.queries.run(run_id)

    assert Graph.of_run(view).states == {
        "double": Status.COMPLETED,
        "left": Status.COMPLETED,
        "right": Status.COMPLETED,
        "ask": Status.SUSPENDED,
    }
    assert text_graph(view).plain == "✓ double → (✓ left | ✓ right) → ⏸ ask"
    assert "class s3 SUSPENDED" in mermaid(Graph.of_run(view))
