"""Asking the process that has a state open for its metrics."""

from typing import Final

import msgspec

from maestro_actors.messages import Request

METRICS_ADDRESS: Final = "urn:maestro:metrics"
"""Where a process tells its metrics."""


class MetricsText(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics as Prometheus reads them, version 0.0.4."""

    text: str


class GetMetrics(Request[MetricsText], frozen=True, kw_only=True):
    """Ask for the metrics as they are now."""
