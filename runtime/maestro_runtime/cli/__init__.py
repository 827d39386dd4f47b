"""The command line: `maestro-runtime`."""

from maestro_runtime.cli._main import main

__all__ = ["main"]
