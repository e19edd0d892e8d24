"""The report: medians and ratios from samples, and what a reader is shown of them."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.bench import figures
from tests.bench.contest import RESPONDER, Effort, Results
from tests.bench.figures import OURS, REFERENCE
from tests.bench.load import Shape
from tests.bench.measure import SHAPES, Key, Placement, Sample, medians
from tests.bench.plot import plot
from tests.bench.report import Setting, rates, ratios, report
from tests.bench.workloads import COLD, WARM

pytestmark = pytest.mark.once

SETTING = Setting(
    ["two processors"],
    {OURS: "of today", REFERENCE: "4.3", "Ganesha, ext4": "4.3"},
    {"unfs3, ext4": "unfsd is not installed"},
    Effort(1.0, 3),
    "plot.svg",
)
SVG = "{http://www.w3.org/2000/svg}"


def a_sample(rate: float, per_cpu: float = 1.0) -> Sample:
    return Sample(rate, per_cpu, 20e-6, 3e-3)


def results(**rates_of_getattr: list[float]) -> Results:
    """GETATTR in all shapes: samples of `ours` and of `other`."""
    found = Results()
    names = {"ours": OURS, "other": REFERENCE}
    for server, values in rates_of_getattr.items():
        for shape in SHAPES:
            key = Key("getattr", shape, names[server])
            found.samples[key] = [a_sample(value, value / 2) for value in values]
    return found


def row(text: str, begin: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {begin} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def section(text: str, title: str) -> str:
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def test_medians_are_taken_of_each_figure_by_itself() -> None:
    found = medians([Sample(1, 30, 5, 7), Sample(3, 10, 6, 9), Sample(2, 20, 4, 8)])
    assert found == Sample(2, 20, 5, 8)


def test_a_ratio_is_the_median_of_what_the_rounds_say() -> None:
    """The second round was three times as slow for both: it says what the others say."""
    found = results(ours=[50_000, 20_000, 900], other=[20_000, 8_000, 30_000])
    key = Key("getattr", SHAPES[0], OURS)
    assert figures.ratio(found, key, figures.rate, REFERENCE) == 2.5
    assert figures.ratio(found, replace(key, workload="null"), figures.rate, REFERENCE) is None


def test_a_cell_that_failed_has_no_figure() -> None:
    found = results(ours=[50_000], other=[25_000])
    key = Key("getattr", SHAPES[1], REFERENCE)
    found.failures[key] = "nfsstat3 70"
    assert figures.median(found, key) is None
    assert row(rates(found, SETTING, figures.rate), "getattr")[-1] == "2.00 / - / 2.00"
    text = section(report(found, SETTING), "What failed")
    assert text.strip() == f"* {REFERENCE}, getattr, 1 x 16: nfsstat3 70"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0512, "0.05"), (1.25, "1.2"), (9.96, "10.0"), (42.4, "42"), (1234, "1,234")],
)
def test_numbers_have_the_digits_that_mean_something(value: float | None, text: str) -> None:
    assert figures.number(value) == text


def test_a_row_has_all_shapes_of_all_servers() -> None:
    text = rates(results(ours=[50_000], other=[25_000]), SETTING, figures.rate)
    assert row(text, "getattr") == [
        "getattr",
        "k",
        "50 / 50 / 50",
        "25 / 25 / 25",
        "- / - / -",
        "2.00 / 2.00 / 2.00",
    ]
    assert "mkdir" not in text  # was not measured


def test_units_are_those_of_the_workload() -> None:
    found = Results()
    for name, rate in (("readdirplus", 3e6), ("read 1m", 2.5e9)):
        for shape in SHAPES:
            found.samples[Key(name, shape, OURS)] = [a_sample(rate)]
    text = rates(found, SETTING, figures.rate)
    assert row(text, "readdirplus")[1:3] == ["M entries", "3.0 / 3.0 / 3.0"]
    assert row(text, "read 1m")[1:3] == ["GB", "2.5 / 2.5 / 2.5"]


def test_aims_are_bold_where_they_are_missed() -> None:
    found = results(ours=[45_000], other=[50_000])
    text = section(report(found, SETTING), "Aims")
    assert row(text, "getattr | rate")[2:] == ["0.90 (≥ 0.9)", "**0.90 (≥ 2)**", "**0.90 (≥ 2)**"]
    assert row(text, "lookup | rate")[2] == "**- (≥ 0.9)**"


def test_read_is_held_against_what_tcp_streams() -> None:
    found = Results()
    for shape in SHAPES:
        found.samples[Key("read 1m", shape, OURS)] = [a_sample(2e9)]
        found.streams[shape] = [5e9, 4e9, 1e9]
        found.unpaced[shape] = [8e9]
    text = report(found, SETTING)
    assert row(section(text, "Aims"), "read 1m | by plain TCP")[2] == "**0.50 (≥ 0.6)**"
    assert row(section(text, "Aims"), "read 1m | by plain TCP, not paced")[2] == "**0.25 (≥ 0.6)**"
    assert row(section(text, "Limits of the measurement"), "plain TCP")[2] == "4.0"
    assert row(section(text, "Limits of the measurement"), "plain TCP, not paced")[2] == "8.0"


def test_latency_and_cold_runs_are_told_apart() -> None:
    found = Results()
    found.samples[Key("read 4k", SHAPES[1], OURS)] = [a_sample(50_000)]
    found.samples[Key("read 4k", SHAPES[1], OURS, cold=True)] = [Sample(2_000, 1, 1e-3, 0.25)]
    text = report(found, SETTING)
    assert row(section(text, "Latency, caches warm").split("### ")[2], "read 4k")[1] == "20 / 3,000"
    assert row(section(text, "Caches cold"), "read 4k")[2:4] == ["2.0", "1,000 / 250,000"]


def test_memory_and_the_large_file() -> None:
    found = Results()
    found.memory[OURS] = [30 << 20, 90 << 20, 50 << 20]
    found.large[OURS] = {"chmod": 0.004}
    found.large[REFERENCE] = {"chmod": 1.5}
    text = report(found, SETTING)
    assert row(section(text, "Memory"), OURS)[1:] == ["30", "90"]
    assert row(section(text, "Changes of a large file"), "chmod")[1:] == ["4.0", "1,500"]


def test_the_generators_own_limit_is_shown() -> None:
    found = Results()
    for shape in SHAPES:
        found.samples[Key("null", shape, RESPONDER)] = [a_sample(600_000)]
    text = section(report(found, SETTING), "Limits of the measurement")
    assert row(text, "responder, null")[1:] == ["k", "600", "600", "600"]


def test_two_checkouts_are_compared_where_there_is_nobody_else() -> None:
    other = f"{OURS} in before"
    setting = replace(SETTING, servers={OURS: "b", other: "a"})
    found = results(ours=[30_000])
    for shape in SHAPES:
        found.samples[Key("getattr", shape, other)] = [a_sample(20_000)]
    assert ratios(found, setting) == {"getattr": [1.5, 1.5, 1.5]}
    assert replace(SETTING, servers={OURS: "b"}).reference is None


def test_bars_go_right_where_we_are_ahead_and_left_where_not() -> None:
    root = ElementTree.fromstring(plot("a < b", SHAPES, {"up": [2.0, 0.5, None]}))
    titled = [each for each in root.iter(f"{SVG}rect") if each.find(f"{SVG}title") is not None]
    begins = [float(each.attrib["x"]) for each in titled]
    widths = [float(each.attrib["width"]) for each in titled]
    assert [each[0].text for each in titled] == ["2.00", "0.50"]
    assert begins[1] + widths[1] == begins[0]
    assert widths[0] == widths[1] > 0
    assert next(root.iter(f"{SVG}text")).text == "a < b"


def test_who_was_not_measured_is_told_why() -> None:
    assert "* unfs3, ext4: not measured: unfsd is not installed\n" in report(Results(), SETTING)


def test_workloads_have_names_of_their_own() -> None:
    for workloads in (WARM, COLD):
        assert len({each.name for each in workloads}) == len(workloads)
        assert not any("," in each.name for each in workloads)


def test_one_call_at_a_time_has_both_ends_on_one_processor() -> None:
    placement = Placement(frozenset([0, 1]))
    single, many = Shape(1, 1), Shape(1, 16)
    assert placement.server(single) == placement.generator(single) == frozenset([0])
    assert placement.server(many) == frozenset([0, 1])
    assert placement.generator(many) == frozenset([1])
