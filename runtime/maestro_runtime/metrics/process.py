"""Figures of this process, by the names that Prometheus has for them."""

import os
import resource
import time
from functools import cache
from pathlib import Path
from typing import Final

from maestro_runtime.metrics.exposition import Metric, counter, gauge

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


def process_metrics() -> list[Metric]:
    """Return memory, processor time, threads and descriptors of this process, as of now."""
    user, system, threads, virtual, resident = _fields(14, 15, 20, 23, 24)
    # One of them is for looking.
    descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [
        counter(
            "process_cpu_seconds_total",
            "Processor time, user and system.",
            (user + system) / _TICKS_PER_SECOND,
        ),
        gauge(
            "process_start_time_seconds", "Start of the process, since the epoch.", _start_seconds()
        ),
        gauge("process_virtual_memory_bytes", "Virtual memory.", virtual),
        gauge("process_resident_memory_bytes", "Resident memory.", resident * _PAGE_BYTES),
        gauge("process_threads", "Threads.", threads),
        gauge("process_open_fds", "Open descriptors.", descriptors),
        gauge("process_max_fds", "Descriptors that may be open.", limit),
    ]


@cache
def _start_seconds() -> float:
    """Return when this process started; the same for ever, though clocks are set."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    (started,) = _fields(22)
    return round(booted + started / _TICKS_PER_SECOND, 2)


def _fields(*numbers: int) -> tuple[int, ...]:
    """Return fields of the status of this process, counted from 1."""
    # The name of the program may have spaces and brackets; what follows it is counted from field 3.
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return tuple(int(fields[number - 3]) for number in numbers)
