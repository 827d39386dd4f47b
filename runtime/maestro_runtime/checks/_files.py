"""Checks that need no more than a manifest: which files there are, their sizes and digests."""

from maestro_actors import checks
from maestro_runtime.checks._look import Finding, Look, counted, each_file, failed, passed

ManifestCheck = (
    checks.Exists
    | checks.ChangedSinceStart
    | checks.MinBytes
    | checks.MaxBytes
    | checks.NoForbidden
)


def look_at_files(check: ManifestCheck, look: Look) -> Finding:
    """Return what the manifest says to the check."""
    files = look.manifest.files
    match check:
        case checks.Exists(min=least, max=most):
            fits = len(files) >= least and (most is None or len(files) <= most)
            return passed(counted(len(files))) if fits else failed(counted(len(files)))
        case checks.ChangedSinceStart():
            changed = sum(look.before.get(path) != found for path, found in files.items())
            return passed(f"{changed} changed") if changed else failed("none")
        case checks.MinBytes(bytes=least):
            return each_file(look.manifest, [text for size, text in _sizes(look) if size < least])
        case checks.MaxBytes(bytes=most):
            return each_file(look.manifest, [text for size, text in _sizes(look) if size > most])
        case checks.NoForbidden():
            # Links and the like are refused as artifacts, and forbidden all the same.
            found = [*files, *look.manifest.refused]
            return failed(", ".join(found)) if found else passed("none")


def _sizes(look: Look) -> list[tuple[int, str]]:
    return [
        (found.size_bytes, f"{path}: {found.size_bytes} bytes")
        for path, found in sorted(look.manifest.files.items())
    ]
