"""`python -m maestro_runtime` is `maestro-runtime`."""

from maestro_runtime.cli import main

if __name__ == "__main__":
    main()
