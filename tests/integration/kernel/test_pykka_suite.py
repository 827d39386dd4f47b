"""Pykka's own test-suite, taken from its source distribution, passes on our actors."""

import os
import re
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

SDIST = Path(sys.prefix) / "share" / f"pykka-{version('pykka')}.tar.gz"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """The unpacked source distribution."""
    if not SDIST.exists():
        pytest.fail(f"the source distribution of Pykka is missing: {SDIST}; make install gets it")
    with tarfile.open(SDIST) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(tmp_path)  # noqa: S202 - pinned by its hash
    return tmp_path / SDIST.name.removesuffix(".tar.gz")


@pytest.mark.parametrize(("lane", "name"), [("thread", "ThreadLane"), ("async", "AsyncLane")])
def test_pykkas_own_suite_passes_on_our_actors(suite: Path, lane: str, name: str) -> None:
    """No test of it is left out."""
    environment = {
        **os.environ,
        "PYKKA_SUITE_LANE": lane,
        "PYTHONPATH": str(Path(__file__).parent),
    }

    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "pykka_suite_plugin"),
            *("-p", "no:cacheprovider", "--timeout=120", "tests"),
        ],
        cwd=suite,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    summary = re.search(r"^(\d+) passed in", run.stdout, re.MULTILINE)
    assert summary is not None, run.stdout
    assert int(summary[1]) >= 150
    actors = re.search(rf"^(\d+) actors on {name}$", run.stdout, re.MULTILINE)
    assert actors is not None, run.stdout
    assert int(actors[1]) >= 100
