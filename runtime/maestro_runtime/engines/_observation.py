"""What is on disk after a call, held against what was owed and what the engine says."""

from collections.abc import Mapping

import msgspec

from maestro_actors.engine import CallOrder, Outcome
from maestro_runtime.engines._claims import claimed_missing
from maestro_runtime.workspace import Fingerprint, Manifest, Workspace, diff


def observe(workspace: Workspace, order: CallOrder, before: Mapping[str, Fingerprint]) -> Manifest:
    """Take the manifest after a call and make what changed survive a power cut."""
    after = workspace.manifest(order.contract.globs)
    # A finished task never runs again, so its files must be as durable as its record.
    workspace.sync(path for path, found in after.files.items() if before.get(path) != found)
    return after


def held_against(
    order: CallOrder, outcome: Outcome, before: Mapping[str, Fingerprint], after: Manifest
) -> Outcome:
    """Add what is on disk to what the engine came to."""
    missing = tuple(
        f"deliverable {item.name!r}: no file matches {glob!r}"
        for item in order.contract.deliverables
        for glob in item.artifacts
        if glob in after.missing
    )
    failure = outcome.failure
    if failure is None and missing:
        failure = "missing_deliverable"
    claimed = claimed_missing(outcome.message, order.workspace, order.contract.globs, after.files)
    unfounded = tuple(f"engine names {path!r}, and there is no such file" for path in claimed)
    return msgspec.structs.replace(
        outcome,
        failure=failure,
        evidence=(*outcome.evidence, *missing, *unfounded, *after.refused),
        artifacts=diff(before, after),
        missing=after.missing,
        claimed_missing=claimed,
    )
