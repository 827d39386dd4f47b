"""The import paths of the Maestro platform, over `maestro_runtime`."""
