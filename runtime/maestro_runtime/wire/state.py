"""Requests about a state directory as a whole, to the process that has it open."""

from typing import Final

import msgspec

from maestro_actors.messages import Request
from maestro_storage import StoreInfo, VerifyReport

CUSTODIAN_ADDRESS: Final = "urn:maestro:custodian"
"""Where a process looks after its state directory: apart from orders, which need not wait for it.

To compact it, nobody must have it open: there is no request for that."""


class BackedUp(msgspec.Struct, frozen=True, kw_only=True):
    """The copy is verified and durable."""

    path: str


class GetStateInfo(Request[StoreInfo], frozen=True, kw_only=True):
    """See `StateView.info`."""


class VerifyState(Request[VerifyReport], frozen=True, kw_only=True):
    """See `StateView.verify`."""


class BackUpState(Request[BackedUp], frozen=True, kw_only=True):
    """See `StateView.backup`. The same again is refused: there is something in the directory."""

    destination: str
    """Absolute."""


StateRequest = GetStateInfo | VerifyState | BackUpState
