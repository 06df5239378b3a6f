"""Workflows as pictures."""

import xml.etree.ElementTree as ElementTree

from tests.engine.choosing import Mail, Order, Truck, buy, by_mail, by_truck
from tests.unit.cli.conftest import ASKING, create, work
from workflow_engine import Workflow, stage
from workflow_engine.cli.graphs import Graph, document, mermaid, svg, text_graph
from workflow_engine.model.status import Status
from workflow_engine.testing.engine import VirtualEngine
from workflow_engine.wiring.memory import MemoryEngine

SVG = "{http://www.w3.org/2000/svg}"


@stage("card")
def card(sent: Mail | Truck) -> Mail:
    return Mail(stamps=1)


CHOOSING = (
    Workflow("choosing", input=Order)
    .pipe(buy)
    .choose(lambda order: order.kind, small=by_mail, large=by_truck, otherwise=by_truck)
    .pipe(card, when=lambda sent: False)
    .build()
)


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


def test_a_choice_is_a_diamond_with_its_cases() -> None:
    lines = [line.strip() for line in mermaid(Graph.of_workflow(CHOOSING)).splitlines()]

    assert {line for line in lines if "-->" in line or "?" in line or ".->" in line} == {
        'c1{"?"}',
        "s0 --> c1",
        'c1 -->|"small"| s1',
        'c1 -->|"large, otherwise"| s2',
        "s1 -. when .-> s3",
        "s2 -. when .-> s3",
    }
    picture = ElementTree.fromstring(svg(Graph.of_workflow(CHOOSING)))
    assert len(list(picture.iter(f"{SVG}polygon"))) == 1
    said = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"small", "large, otherwise", "when"} < set(said)
    assert [path.attrib.get("stroke-dasharray") for path in picture.iter(f"{SVG}path")].count("4 3") == 2


def test_all_of_a_graph_with_choices_is_in_its_view() -> None:
    both = Graph("both", [["a", "b"], ["c"]], {}, {0: {"a": "x", "b": "y" * 40}, 1: {"c": "z"}}, frozenset())
    picture = ElementTree.fromstring(svg(both))
    for box in picture.iter(f"{SVG}rect"):
        assert 0 <= float(box.attrib["x"]) <= float(picture.attrib["width"]) - float(box.attrib["width"])
    for corner in picture.iter(f"{SVG}polygon"):
        assert all(float(point.split(",")[0]) >= 0 for point in corner.attrib["points"].split())


def test_a_run_s_choice_is_on_its_line() -> None:
    engine = VirtualEngine()
    run = engine.run(CHOOSING, Order(total=1))
    view = engine.kernel.queries.run(run.id)

    assert text_graph(view).plain == "✓ buy → ◇(small: ✓ by-mail | large, otherwise: - by-truck) → - card?"
    assert document(Graph.of_run(view))["choices"] == [
        {"group": 2, "cases": {"by-mail": "small", "by-truck": "large, otherwise"}}
    ]
    assert document(Graph.of_run(view))["conditional"] == ["card"]
    assert set(document(Graph.of_workflow(ASKING))) == {"title", "groups", "states"}
