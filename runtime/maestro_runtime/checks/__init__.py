"""Evaluates the checks of contracts: what is on disk, held against what was asked for."""

from maestro_runtime.checks._callable import CheckView
from maestro_runtime.checks._content import ContentCheck, ContentChecks
from maestro_runtime.checks._evaluator import Checks
from maestro_runtime.checks._preflight import hindrance

__all__ = ["CheckView", "Checks", "ContentCheck", "ContentChecks", "hindrance"]
