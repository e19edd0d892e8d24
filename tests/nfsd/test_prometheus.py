"""The text that Prometheus reads: another program's parser, and ours, find in it what was told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from nfsd.metrics.prometheus import Distribution, Family, Sample, read, written

GAUGE = Family("size_bytes", "gauge", "How large it is.")
TIMES = Family("time_seconds", "histogram", "How long it takes.", (0.5, 2.0))


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"])),
            st.floats(allow_nan=False),
        ),
        unique_by=lambda each: each[0],
    )
)
def test_labels_and_values_are_read_as_they_were(values: list[tuple[str, float]]) -> None:
    text = written([(GAUGE, [({"path": path, "x": "y"}, value) for path, value in values])])
    expected = [Sample("size_bytes", {"path": path, "x": "y"}, value) for path, value in values]
    (family,) = text_string_to_metric_families(text)
    assert [(each.name, each.labels, each.value) for each in family.samples] == expected
    assert read(text) == expected


def test_a_histogram_adds_up() -> None:
    text = written([(TIMES, [({"name": "a"}, Distribution([1, 2, 4], 12.5))])])
    (family,) = text_string_to_metric_families(text)
    assert (family.type, family.documentation) == ("histogram", "How long it takes.")
    assert read(text) == [
        Sample("time_seconds_bucket", {"name": "a", "le": "0.5"}, 1),
        Sample("time_seconds_bucket", {"name": "a", "le": "2.0"}, 3),
        Sample("time_seconds_bucket", {"name": "a", "le": "+Inf"}, 7),
        Sample("time_seconds_sum", {"name": "a"}, 12.5),
        Sample("time_seconds_count", {"name": "a"}, 7),
    ]


@pytest.mark.parametrize("text", ["<html>", "name", "name{a=1} x"])
def test_what_is_no_such_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"could not|no sample"):
        read(text)
