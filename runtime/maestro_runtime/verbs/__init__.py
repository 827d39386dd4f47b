"""What can be asked of a runtime, in parts: each verb is a method of one of them."""

from maestro_runtime.verbs._books import BookVerbs
from maestro_runtime.verbs._breakers import BreakerVerbs
from maestro_runtime.verbs._foundation import Foundation
from maestro_runtime.verbs._governance import Governance
from maestro_runtime.verbs._help import HelpVerbs
from maestro_runtime.verbs._hosting import Hosting
from maestro_runtime.verbs._phases import PhaseVerbs
from maestro_runtime.verbs._planner import Planner
from maestro_runtime.verbs._records import RecordVerbs
from maestro_runtime.verbs._sessions import SessionVerbs
from maestro_runtime.verbs._starts import StartVerbs
from maestro_runtime.verbs._verb import verb

__all__ = [
    "BookVerbs",
    "BreakerVerbs",
    "Foundation",
    "Governance",
    "HelpVerbs",
    "Hosting",
    "PhaseVerbs",
    "Planner",
    "RecordVerbs",
    "SessionVerbs",
    "StartVerbs",
    "verb",
]
