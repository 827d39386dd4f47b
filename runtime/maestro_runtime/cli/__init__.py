"""The command line: `maestro-runtime`."""

from maestro_runtime.cli._process import main

__all__ = ["main"]
