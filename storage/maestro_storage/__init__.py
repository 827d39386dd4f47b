"""What survives: bytes, keys and records in a state directory that one process owns.

A `Store` is opened on a state directory; transitions go into its journal and are durable together
or not at all; its repositories read what is durable, verified.
"""

from maestro_storage._backup import compact
from maestro_storage._journal import Journal
from maestro_storage._limits import PAYLOAD_BYTES_MAX, RECORD_BYTES_MAX
from maestro_storage._ownership import network_kind, require_unowned
from maestro_storage._payloads import Payloads
from maestro_storage._ports import CommitObserver, StorePorts
from maestro_storage._repository import Repository
from maestro_storage._retention import RetentionPolicy
from maestro_storage._scan import Damage
from maestro_storage._store import Store, StoreOptions
from maestro_storage._verify import VerifyReport, verify
from maestro_storage._view import Records, StateView, StoreInfo
from maestro_storage._watch import Watch

__all__ = [
    "PAYLOAD_BYTES_MAX",
    "RECORD_BYTES_MAX",
    "CommitObserver",
    "Damage",
    "Journal",
    "Payloads",
    "Records",
    "Repository",
    "RetentionPolicy",
    "StateView",
    "Store",
    "StoreInfo",
    "StoreOptions",
    "StorePorts",
    "VerifyReport",
    "Watch",
    "compact",
    "network_kind",
    "require_unowned",
    "verify",
]
