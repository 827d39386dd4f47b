"""The text for Prometheus, read by the parser of its own library."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from maestro_runtime.metrics.exposition import (
    LABEL_VALUES_MAX,
    OTHER,
    Metric,
    Sample,
    by_label,
    capped,
    counter,
    exposition,
    gauge,
    histogram,
)

# The parser cuts lines as `str.splitlines` does not, at line feeds alone; so does Prometheus.
_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters='\n"\\'))


@given(_TEXT, _TEXT, st.floats(allow_nan=False) | st.integers(-(1 << 53), 1 << 53))
def test_whatever_a_label_or_a_help_has_is_read_back(label: str, text: str, value: float) -> None:
    metric = Metric("some_gauge", "gauge", f"h{text}h", (Sample(value, {"name": label}),))

    (family,) = text_string_to_metric_families(exposition([metric]))

    (sample,) = family.samples
    assert (sample.labels, sample.value) == ({"name": label}, value)
    assert family.type == "gauge"
    assert family.documentation == f"h{text}h"


def test_each_kind_is_read_back_as_what_it_is() -> None:
    metrics = [
        gauge("some_size_bytes", "A size.", 1 << 40),
        counter("some_things_total", "Things.", 3),
        by_label("some_states", "gauge", "States.", "state", {"on": 1, "off": 0}),
        histogram("some_seconds", "Times.", (0.5, 1), [2, 0, 1], 7.25),
    ]

    families = {
        family.name: family for family in text_string_to_metric_families(exposition(metrics))
    }

    assert {name: family.type for name, family in families.items()} == {
        "some_size_bytes": "gauge",
        "some_things": "counter",
        "some_states": "gauge",
        "some_seconds": "histogram",
    }
    assert [
        (sample.name, sample.labels.get("le"), sample.value)
        for sample in families["some_seconds"].samples
    ] == [
        ("some_seconds_bucket", "0.5", 2.0),
        ("some_seconds_bucket", "1", 2.0),
        ("some_seconds_bucket", "+Inf", 3.0),
        ("some_seconds_sum", None, 7.25),
        ("some_seconds_count", None, 3.0),
    ]


def test_a_metric_without_samples_is_left_out() -> None:
    assert exposition([by_label("none", "gauge", "Nothing.", "state", {})]) == ""


def test_too_many_values_of_a_label_share_one_and_lose_nothing() -> None:
    values = {f"persona-{number}": number for number in range(100)}

    found = capped(values)

    assert len(found) == LABEL_VALUES_MAX + 1
    assert sum(found.values()) == sum(values.values())
    assert found["persona-99"] == 99
    assert found[OTHER] == sum(range(100 - LABEL_VALUES_MAX))
