"""What was looked at, how it was, and what follows from it."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from maestro_runtime.cli._exit import ExitCode
from maestro_runtime.cli._output import print_json, print_table

RECORDS: Final = "records"
"""Name of the check of what is stored: a failure of it is damage."""

Verdict = Literal["ok", "warning", "failed"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    detail: str


def print_findings(findings: Sequence[Finding], *, as_json: bool) -> ExitCode:
    """Print findings and return the code that sums them up."""
    if as_json:
        print_json({"schema": "maestro.doctor/1", "findings": findings})
    else:
        print_table(
            ("CHECK", "VERDICT", "DETAIL"),
            [(finding.check, finding.verdict, finding.detail) for finding in findings],
        )
    failed = {finding.check for finding in findings if finding.verdict == "failed"}
    if RECORDS in failed:
        return ExitCode.DAMAGED
    return ExitCode.CANNOT_START if failed else ExitCode.DONE
