"""Charts are XML that any reader takes, hold what was drawn, and nothing that a policy forbids."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inferspan_collector.drawing import bars, lines, scales
from inferspan_collector.drawing.lines import Frame, Limit, Line, Point, chart
from inferspan_collector.drawing.markup import STYLESHEET

NUMBERS = st.floats(-1e12, 1e12)
FRAME = Frame(0, 60, gap=1)


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def drawn(root: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    """Elements of a class, by the first of its words."""
    return [each for each in root.iter() if each.get("class", "").split(" ")[:1] == [kind]]


def points(element: ElementTree.Element) -> list[tuple[float, float]]:
    pairs = [pair.split(",") for pair in element.get("points", "").split()]
    return [(float(x), float(y)) for x, y in pairs]


@given(
    st.lists(
        st.tuples(st.none() | NUMBERS, st.sampled_from(["", "alert", "unsure"]), st.text()),
        max_size=30,
    ),
    st.text(),
)
def test_any_numbers_and_texts_make_a_picture(
    rows: list[tuple[float | None, lines.Mark, str]], name: str
) -> None:
    line = Line(
        "main", [Point(i, v, mark=mark, text=text) for i, (v, mark, text) in enumerate(rows)]
    )
    # XML has no letters for most control characters; no browser reads the page as XML.
    text = chart(name, [line], FRAME, Limit(0.5, name))
    root = parsed("".join(c for c in text if c in "\n\t" or (c >= " " and c not in "\ufffe\uffff")))
    for element in root.iter():
        assert element.get("style") is None
        assert not [key for key in element.attrib if key.startswith("on")]
    assert "nan" not in text.lower() or "nan" in name.lower() + str(rows).lower()
    alerts = [1 for v, mark, _ in rows if v is not None and mark == "alert"]
    assert len(drawn(root, "alert")) == len(alerts)


@given(st.lists(NUMBERS, min_size=1), st.integers(1, 8))
def test_a_round_scale_holds_every_value_between_its_ends(values: list[float], ticks: int) -> None:
    scale, places = scales.round_scale(values, ticks=ticks)
    room = 1e-6 * (scale.high - scale.low)
    assert scale.low - room <= min(values)
    assert max(values) <= scale.high + room
    assert (places[0], places[-1]) == (scale.low, scale.high)
    assert 2 <= len(places) <= ticks + 3


@given(st.lists(st.floats(0, 1), min_size=1))
@example([2.2e-313])
def test_a_share_is_drawn_within_nought_and_one(values: list[float]) -> None:
    scale, _ = scales.round_scale(values, least=0, greatest=1)
    assert 0 <= scale.low < scale.high <= 1 + 1e-9


@given(st.integers(0, 10**8), st.integers(1, 10**7), st.integers(1, 8))
def test_times_are_round_rising_and_few(start: int, span: int, most: int) -> None:
    ticks = scales.minute_ticks(start, start + span, most)
    places = [place for place, _ in ticks]
    assert len(ticks) <= most
    assert all(start <= place <= start + span for place in places)
    assert all(a < b for a, b in pairwise(places))
    steps = {b - a for a, b in pairwise(places)}
    assert len(steps) <= 1


def test_midnight_says_which_day_begins() -> None:
    day = 20_000 * 1440
    texts = [text for _, text in scales.minute_ticks(day - 720, day + 720, 5)]
    assert texts == ["12:00", "18:00", "4 Oct", "06:00", "12:00"]


def test_a_line_ends_where_values_are_missing_far_apart_or_unsure() -> None:
    values = [0.1, 0.2, None, 0.4, 0.5]
    rows = [Point(i, value) for i, value in enumerate(values)]
    rows += [Point(9, 0.6), Point(10, 0.7), Point(11, 0.8, mark="unsure"), Point(12, 0.9)]
    root = parsed(chart("", [Line("main", rows)], FRAME))
    assert [len(points(each)) for each in drawn(root, "line")] == [2, 2, 2]
    assert len(drawn(root, "dot")) == 8
    assert [each.get("class") for each in drawn(root, "dot")].count("dot main unsure") == 1


def test_a_band_goes_out_along_its_upper_ends_and_back_along_its_lower() -> None:
    rows = [Point(x, 0.5, low, high) for x, low, high in ((0, 0.0, 1.0), (60, 0.25, 0.75))]
    frame = Frame(0, 60, height=100, least=0, greatest=1)
    (band,) = drawn(parsed(chart("", [Line("main", rows)], frame)), "band")
    down = [round(y - lines.TOP, 1) for _, y in points(band)]
    assert [x for x, _ in points(band)] == [0, 1000, 1000, 0]
    assert down == [0, 25, 75, 100]


def test_what_is_there_at_a_time_is_read_in_one_place() -> None:
    both = [Line("main", [Point(5, 1.0, text="true 1")]), Line("second", [Point(5, 2, text="2 <")])]
    ((reading,),) = drawn(parsed(chart("", both, FRAME)), "readings")
    assert [each.text for each in reading] == ["true 1\n2 <"]
    assert (reading.get("x"), reading.get("width")) == ("0%", "100%")


def test_who_does_not_see_it_is_told() -> None:
    root = parsed(chart('accuracy of "<b>"', [], FRAME))
    assert (root.get("role"), root.get("aria-label")) == ("img", 'accuracy of "<b>"')


def test_texts_are_escaped() -> None:
    hostile = '"><script>alert(1)</script>'
    text = chart(hostile, [Line("main", [Point(1, 1.0, text=hostile)])], FRAME, Limit(1, hostile))
    assert "<script" not in text
    assert "<script" not in bars.share(hostile, 0.5)


@pytest.mark.parametrize("value", [-1.0, 0.0, 0.5, 1.0, 7.0])
def test_a_bar_stays_within_its_whole(value: float) -> None:
    root = parsed(bars.share("", value, value - 0.1, value + 0.1))
    width = float(drawn(root, "share")[0].get("width", "").rstrip("%"))
    assert width == 100 * min(1.0, max(0.0, value))


def test_every_class_that_is_drawn_has_its_colours() -> None:
    rows = [Point(0, 1.0, 0.0, 2.0, text="x"), Point(1, 1.0, 0.0, 2.0), Point(2, 1.0, mark="alert")]
    pictures = [chart("", [Line(role, rows)], FRAME, Limit(1, "x")) for role in lines.Role.__args__]
    rules = STYLESHEET.read_text()
    names = {
        name
        for picture in (*pictures, bars.share("", 0.5, 0.4, 0.6))
        for element in parsed(picture).iter()
        for name in element.get("class", "").split()
    }
    bare = {"bare", "bar", "tick"}
    assert {name for name in names - bare if f".{name}" not in rules} == set()
