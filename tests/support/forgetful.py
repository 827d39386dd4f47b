"""A daemon that keeps one session that has ended, and looks often: `python forgetful.py serve`."""

from dataclasses import replace
from typing import Any, Final

from maestro_runtime import RuntimeOptions
from maestro_runtime.cli import main
from maestro_runtime.daemon import _process
from maestro_storage import RetentionPolicy, StoreOptions

KEPT: Final = StoreOptions(retention=RetentionPolicy(sessions_max=1))

if __name__ == "__main__":
    init = _process.Daemon.__init__

    def forgets(self: _process.Daemon, settled: Any, options: RuntimeOptions, environ: Any) -> None:
        init(self, settled, replace(options, store=KEPT), environ)

    _process.Daemon.__init__ = forgets  # type: ignore[method-assign] # that is its weakness
    _process.RETENTION_SECONDS = 0.0  # type: ignore[misc] # as above
    _process.TICK_SECONDS = 0.1  # type: ignore[misc] # as above
    main()
