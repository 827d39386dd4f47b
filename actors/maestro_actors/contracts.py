"""Whether a contract is fulfilled: a pure judgement over what was seen on disk."""

import msgspec

from maestro_actors.engine import Outcome
from maestro_actors.team import Contract


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The result of holding an outcome against its contract."""

    quality_score: float
    """Share of the artifact globs that are matched, averaged over the deliverables; 0..1."""
    contract_fulfilled: bool
    """The engine finished, and every glob of every deliverable matches a file."""


def judge(contract: Contract, outcome: Outcome) -> Verdict:
    """Return the verdict on `outcome`; a contract that names no file asks only for an end."""
    fulfilled = outcome.failure is None and not outcome.missing
    if not contract.globs:
        return Verdict(quality_score=1.0 if fulfilled else 0.0, contract_fulfilled=fulfilled)
    # Nothing listed as missing means something only if somebody looked: a call that never got to
    # the workspace has no artifacts either.
    if not outcome.artifacts:
        return Verdict(quality_score=0.0, contract_fulfilled=False)
    missing = frozenset(outcome.missing)
    shares = [
        sum(glob not in missing for glob in item.artifacts) / len(item.artifacts)
        for item in contract.deliverables
        if item.artifacts
    ]
    return Verdict(quality_score=sum(shares) / len(shares), contract_fulfilled=fulfilled)
