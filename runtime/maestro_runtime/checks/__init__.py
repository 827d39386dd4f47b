"""Evaluates the checks of contracts: what is on disk, held against what was asked for."""

from maestro_runtime.checks._callable import CheckView
from maestro_runtime.checks._evaluator import Checks

__all__ = ["CheckView", "Checks"]
