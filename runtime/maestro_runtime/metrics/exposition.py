"""Metrics, and the text in which Prometheus reads them (version 0.0.4).

The text is written here, because the library for it loads an HTTP server and TLS and fills a
registry of the whole process; the tests read it by the parser of that library.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

LABEL_VALUES_MAX: Final = 30
"""Different values of a label that teams choose; all others share `OTHER`."""

OTHER: Final = "other"

Kind = Literal["counter", "gauge", "histogram"]

Number = int | float


@dataclass(frozen=True, slots=True)
class Sample:
    """One value, under the labels that tell it from the others of its metric."""

    value: Number
    labels: Mapping[str, str]
    suffix: str = ""
    """What a histogram adds to the name."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric with all its samples."""

    name: str
    kind: Kind
    help: str
    samples: tuple[Sample, ...]


def gauge(name: str, text: str, value: Number) -> Metric:
    """Return a metric of one value that goes up and down."""
    return Metric(name, "gauge", text, (Sample(value, {}),))


def counter(name: str, text: str, value: Number) -> Metric:
    """Return a metric of one value that only grows."""
    return Metric(name, "counter", text, (Sample(value, {}),))


def by_label(name: str, kind: Kind, text: str, label: str, values: Mapping[str, Number]) -> Metric:
    """Return a metric with one sample for each value of a label, in their order.

    Those of a label that teams choose are to be `capped`.
    """
    samples = (Sample(value, {label: key}) for key, value in values.items())
    return Metric(name, kind, text, tuple(samples))


def histogram(
    name: str, text: str, bounds: Sequence[Number], counts: Sequence[int], total: Number
) -> Metric:
    """Return how values are distributed.

    Args:
        name: Of the metric.
        text: What it is.
        bounds: Upper ends of the buckets, ascending.
        counts: Values in each bucket alone, and last those above all bounds.
        total: Sum of all values.
    """
    samples: list[Sample] = []
    count = 0
    for bound, found in zip((*bounds, "+Inf"), counts, strict=True):
        count += found
        samples.append(Sample(count, {"le": str(bound)}, "_bucket"))
    samples += (Sample(total, {}, "_sum"), Sample(count, {}, "_count"))
    return Metric(name, "histogram", text, tuple(samples))


def capped(values: Mapping[str, Number]) -> dict[str, Number]:
    """Return values by label, in order, the smallest added up if there are too many.

    For gauges: which are the smallest changes, and a counter must not move to another series.
    """
    if len(values) <= LABEL_VALUES_MAX:
        return dict(values)
    kept = largest(values)
    found: defaultdict[str, Number] = defaultdict(int)
    for key, value in values.items():
        found[key if key in kept else OTHER] += value
    return dict(found)


def largest(values: Mapping[str, Number]) -> frozenset[str]:
    """Return the labels whose values are the largest, as many as may be told apart."""
    return frozenset(sorted(values, key=lambda key: (-values[key], key))[:LABEL_VALUES_MAX])


def exposition(metrics: Iterable[Metric]) -> str:
    """Return metrics as Prometheus reads them; one without samples is left out."""
    lines: list[str] = []
    for metric in metrics:
        if metric.samples:
            text = metric.help.replace("\\", r"\\").replace("\n", r"\n")
            lines += (f"# HELP {metric.name} {text}", f"# TYPE {metric.name} {metric.kind}")
            lines += (_line(metric.name, sample) for sample in metric.samples)
    return "\n".join(lines) + "\n" if lines else ""


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sample.labels.items())
    return f"{name}{sample.suffix}{f'{{{labels}}}' if labels else ''} {sample.value}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
