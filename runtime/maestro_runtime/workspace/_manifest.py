"""The manifest: which artifacts are on disk, with size and digest, and which files were refused."""

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from maestro_actors.engine import Artifact
from maestro_runtime.workspace._glob import Glob, Positions
from maestro_runtime.workspace.errors import WorkspaceTooLarge

FILES_MAX: Final = 10_000
"""Most artifacts in one manifest."""

HASHED_BYTES_MAX: Final = 256 << 20
"""Most bytes hashed for one manifest (256 MiB)."""

FOLDER_DEPTH_MAX: Final = 100
"""Deepest folder that is looked into; each level holds a file descriptor."""

REFUSED_MAX: Final = 20
"""Most refused files that are listed one by one."""

CHUNK_BYTES: Final = 1 << 20

# Not blocking, because a file may become a FIFO between the look and the open.
FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Fingerprint(msgspec.Struct, frozen=True):
    """Size and SHA-256 (hex) of a file's content."""

    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the globs of a contract match at one moment."""

    files: dict[str, Fingerprint] = {}
    """By path relative to the workspace, with forward slashes."""
    missing: tuple[str, ...] = ()
    """Globs that match no file."""
    refused: tuple[str, ...] = ()
    """Files that match but are no artifacts, one sentence each."""


def diff(before: Mapping[str, Fingerprint], after: Manifest) -> tuple[Artifact, ...]:
    """Return the artifacts of `after` by path, marking what differs from `before`."""
    return tuple(
        Artifact(
            path=path,
            size_bytes=found.size_bytes,
            sha256=found.sha256,
            changed=before.get(path) != found,
        )
        for path, found in sorted(after.files.items())
    )


def take_manifest(root_fd: int, globs: Sequence[str]) -> Manifest:
    """Walk the folder behind `root_fd` and fingerprint every file that a glob matches.

    No link is followed. Links, devices, FIFOs, sockets and files with several names are refused.

    Raises:
        GlobEscapes: A glob is not allowed.
        WorkspaceTooLarge: More than `FILES_MAX` files or `HASHED_BYTES_MAX` bytes match.
    """
    walk = _Walk([Glob(pattern) for pattern in globs])
    walk.folder(root_fd, (), tuple(glob.start for glob in walk.globs))
    refused = walk.refused[:REFUSED_MAX]
    if len(walk.refused) > REFUSED_MAX:
        refused.append(f"refused: {len(walk.refused) - REFUSED_MAX} more files")
    return Manifest(
        files=walk.files,
        missing=tuple(glob.pattern for glob in walk.globs if glob.pattern not in walk.satisfied),
        refused=tuple(refused),
    )


class _Walk:
    """One pass over a workspace."""

    def __init__(self, globs: list[Glob]) -> None:
        self.globs = globs
        self.files: dict[str, Fingerprint] = {}
        self.satisfied: set[str] = set()
        self.refused: list[str] = []
        self._hashed_bytes = 0

    def folder(
        self, folder_fd: int, parents: tuple[str, ...], positions: tuple[Positions, ...]
    ) -> None:
        """Visit the entries of one open folder in the order of their names."""
        with os.scandir(folder_fd) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            try:
                self._entry(entry, folder_fd, parents, positions)
            except FileNotFoundError:
                # Other tasks write in this workspace: a file may go between listing and opening.
                continue
            except OSError as error:
                self._refuse((*parents, entry.name), f"cannot be read ({error.strerror})")

    def _entry(
        self,
        entry: os.DirEntry[str],
        folder_fd: int,
        parents: tuple[str, ...],
        positions: tuple[Positions, ...],
    ) -> None:
        """Descend into a folder, or fingerprint or refuse a file, if a glob asks for it."""
        names = (*parents, entry.name)
        below = tuple(
            glob.step(at, entry.name) for glob, at in zip(self.globs, positions, strict=True)
        )
        if not any(below):
            return
        if entry.is_symlink():
            # A link below `**` that no other part asks for is not worth a line.
            if any(g.names(at, entry.name) for g, at in zip(self.globs, positions, strict=True)):
                self._refuse(names, "is a symbolic link")
        elif entry.is_dir(follow_symlinks=False):
            self._descend(folder_fd, names, below)
        elif any(glob.accepts(at) for glob, at in zip(self.globs, below, strict=True)):
            self._file(entry, folder_fd, names, below)

    def _descend(
        self, folder_fd: int, names: tuple[str, ...], below: tuple[Positions, ...]
    ) -> None:
        """Visit a folder through its own descriptor, so that it cannot become a link."""
        if len(names) > FOLDER_DEPTH_MAX:
            self._refuse(names, f"is deeper than {FOLDER_DEPTH_MAX} folders")
            return
        child_fd = os.open(names[-1], FOLDER_FLAGS, dir_fd=folder_fd)
        try:
            self.folder(child_fd, names, below)
        finally:
            os.close(child_fd)

    def _file(
        self,
        entry: os.DirEntry[str],
        folder_fd: int,
        names: tuple[str, ...],
        below: tuple[Positions, ...],
    ) -> None:
        """Fingerprint one file, unless it is something else than a plain file of its own."""
        path = "/".join(names)
        if not path.isprintable():
            self._refuse(names, "has a name with characters that cannot be printed")
            return
        if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            # Refused before it is opened: opening a device can have an effect.
            self._refuse(names, "is not a regular file")
            return
        if len(self.files) == FILES_MAX:
            raise WorkspaceTooLarge("files", FILES_MAX)
        file_fd = os.open(entry.name, FILE_FLAGS, dir_fd=folder_fd)
        try:
            status = os.fstat(file_fd)
            if not stat.S_ISREG(status.st_mode):
                self._refuse(names, "is not a regular file")
            elif status.st_nlink > 1:
                self._refuse(names, f"has {status.st_nlink} hard links")
            else:
                self.files[path] = self._fingerprint(file_fd)
                self.satisfied.update(
                    glob.pattern
                    for glob, at in zip(self.globs, below, strict=True)
                    if glob.accepts(at)
                )
        finally:
            os.close(file_fd)

    def _fingerprint(self, file_fd: int) -> Fingerprint:
        """Hash a file in chunks, within what is left of the limit."""
        digest = hashlib.sha256()
        size_bytes = 0
        while chunk := os.read(file_fd, CHUNK_BYTES):
            size_bytes += len(chunk)
            self._hashed_bytes += len(chunk)
            if self._hashed_bytes > HASHED_BYTES_MAX:
                raise WorkspaceTooLarge("bytes", HASHED_BYTES_MAX)
            digest.update(chunk)
        return Fingerprint(size_bytes, digest.hexdigest())

    def _refuse(self, names: tuple[str, ...], reason: str) -> None:
        """Note a file that is no artifact; names are quoted, they are foreign data."""
        self.refused.append(f"refused: {'/'.join(names)!a} {reason}")
