"""Repairs files after an engine ended well, if a check then passes that would not have passed."""

from maestro_runtime.healing._mender import FileMender
from maestro_runtime.healing.fixes import BUILT_IN, DropTrailingCommas, Fix, StripCodeFences

__all__ = ["BUILT_IN", "DropTrailingCommas", "FileMender", "Fix", "StripCodeFences"]
