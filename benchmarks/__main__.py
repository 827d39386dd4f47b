"""Measure, print, and write a report: `python benchmarks [NAME ...]`."""

import argparse
import importlib
import signal
import sys
import time
from pathlib import Path

from maestro_runtime.garbage import collect_seldom
from measure import FAST_SCALE, Options, environment
from report import Section, as_json, as_page, as_text

NAMES = (
    "attempts",
    "latency",
    "retry",
    "accounting",
    "breaker",
    "actors",
    "idle",
    "sessions",
    "many",
    "resume",
    "proxies",
    "start",
)


def main() -> None:
    """Run the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--fast", action="store_true", help="a tenth of the size: below a minute")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--no-peers", action="store_true", help="measure us alone")
    parser.add_argument("--json", action="store_true", help="print JSON, with all samples")
    parser.add_argument("--report", type=Path, default=Path("bench-report.html"), help="the page")
    # Not /tmp, which may be a tmpfs: there an fsync costs nothing.
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp"), help="on the disk to measure")  # noqa: S108 - a fresh directory is made in it
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in NAMES]
    if unknown:
        parser.error(f"benchmark must be one of {', '.join(NAMES)}, got {unknown[0]!r}")
    scale = FAST_SCALE if arguments.fast else arguments.scale
    options = Options(arguments.dir, scale, with_peers=not arguments.no_peers)
    # What is told to end ends the servers that it has started.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    # As the commands that run sessions do; those of the peers that are measured here gain, too.
    collect_seldom()
    line = environment(options.directory)
    sections = []
    for name in arguments.names or NAMES:
        print(f"measuring {name} ...", end=" ", file=sys.stderr, flush=True)
        before = time.perf_counter()
        module = importlib.import_module(f"bench_{name}")
        sections.append(Section(name, module.__doc__ or "", module.measure(options)))
        print(f"{time.perf_counter() - before:.0f} s", file=sys.stderr)
    print((as_json if arguments.json else as_text)(line, sections))
    arguments.report.write_text(as_page(line, sections))
    print(f"report: {arguments.report}", file=sys.stderr)


if __name__ == "__main__":
    main()
