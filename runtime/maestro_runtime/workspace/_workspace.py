"""The workspace: writes and reads that cannot leave one folder."""

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from maestro_runtime.workspace._glob import check_glob
from maestro_runtime.workspace._manifest import (
    FILE_FLAGS,
    FOLDER_FLAGS,
    Manifest,
    take_manifest,
)
from maestro_runtime.workspace.errors import PathEscapes

DRAFT_NAME: Final = re.compile(r"\.[0-9a-f]{16}\.tmp")
"""What a write that was cut short may leave behind."""


def _parts_of(path: str) -> tuple[str, ...]:
    """Split a relative path into names.

    Raises:
        PathEscapes: The path is empty, absolute, or has a `..` part or a NUL.
    """
    names = tuple(name for name in path.split("/") if name not in {"", "."})
    if not names:
        reason = "it names no file"
    elif path.startswith("/"):
        reason = "it is absolute"
    elif ".." in names:
        reason = "it has a '..' part"
    elif "\0" in path:
        reason = "it has a NUL"
    else:
        return names
    raise PathEscapes(path, reason)


def canonical_path(path: str) -> str:
    """Return the one spelling of a relative path: no empty and no `.` parts.

    Raises:
        PathEscapes: The path is empty, absolute, or has a `..` part or a NUL.
    """
    return "/".join(_parts_of(path))


class Workspace:
    """The folder that a session's engines write in.

    Paths are relative, with forward slashes. Every folder on the way is opened by itself, without
    following links, so a link planted by another process cannot lead a write outside. Methods
    block on the disk and may be called from any thread. The folder need not exist.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()

    def manifest(self, globs: Sequence[str]) -> Manifest:
        """Fingerprint the files that `globs` match; a folder that does not exist has none.

        Raises:
            GlobEscapes: A glob is not allowed.
            WorkspaceTooLarge: Too many files, or too many bytes, match.
            OSError: The workspace itself cannot be read.
        """
        if not self.root.exists():
            for glob in globs:
                check_glob(glob)
            return Manifest(missing=tuple(globs))
        root_fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return take_manifest(root_fd, globs)
        finally:
            os.close(root_fd)

    def resolve(self, path: str) -> Path:
        """Return the absolute path of a file that may be written.

        The answer is true for now only; `write_bytes` checks again while it walks.

        Raises:
            PathEscapes: The path leaves the workspace or goes through a link.
        """
        place = self.root
        for name in _parts_of(path):
            place /= name
            if place.is_symlink():
                raise PathEscapes(path, f"{name!r} is a symbolic link")
        return place

    def make_folder(self, path: str) -> Path:
        """Create a folder and its parents; return its absolute path.

        Raises:
            PathEscapes: The path leaves the workspace or goes through a link.
        """
        names = _parts_of(path)
        with self._folder(path, names, create=True):
            return self.root.joinpath(*names)

    def write_bytes(self, path: str, content: bytes) -> None:
        """Replace the file at `path`, creating its folders.

        Readers see the old content or the new, never a part. When it returns, content and name
        survive a power cut. A link at `path` is replaced, not followed.

        Raises:
            PathEscapes: The path leaves the workspace or goes through a link.
            OSError: The disk refused, or `path` is a folder.
        """
        *folders, name = _parts_of(path)
        draft = f".{secrets.token_hex(8)}.tmp"
        with self._folder(path, folders, create=True) as folder_fd:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            draft_fd = os.open(draft, flags, 0o644, dir_fd=folder_fd)
            try:
                with os.fdopen(draft_fd, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(draft, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
            except BaseException:
                os.unlink(draft, dir_fd=folder_fd)
                raise
            os.fsync(folder_fd)

    def write_text(self, path: str, content: str) -> None:
        """Replace the file at `path` with UTF-8 text; see `write_bytes`."""
        self.write_bytes(path, content.encode())

    def read_bytes(self, path: str, bytes_max: int) -> bytes | None:
        """Return at most `bytes_max` bytes of a plain file; None if there is no such file.

        Raises:
            PathEscapes: The path leaves the workspace, goes through a link, or is no plain file.
        """
        *folders, name = _parts_of(path)
        try:
            with self._folder(path, folders, create=False) as folder_fd:
                file_fd = os.open(name, FILE_FLAGS, dir_fd=folder_fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise PathEscapes(path, f"{name!r} is a symbolic link") from error
            raise
        if not stat.S_ISREG(os.fstat(file_fd).st_mode):
            os.close(file_fd)
            raise PathEscapes(path, f"{name!r} is not a regular file")
        with os.fdopen(file_fd, "rb") as file:
            return file.read(bytes_max)

    def remove(self, path: str) -> None:
        """Remove the file at `path`, if there is one.

        Raises:
            PathEscapes: The path leaves the workspace or goes through a link.
        """
        *folders, name = _parts_of(path)
        with (
            contextlib.suppress(FileNotFoundError),
            self._folder(path, folders, create=False) as folder_fd,
        ):
            os.unlink(name, dir_fd=folder_fd)

    @contextlib.contextmanager
    def parent_of(self, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Yield a descriptor of the folder that `path` is in, and its name there.

        For what goes beyond one write or read; nothing that is done by descriptor and name can
        leave the workspace, if it does not follow a link in the name's place.

        Raises:
            PathEscapes: The path leaves the workspace or goes through a link.
            FileNotFoundError: The folder does not exist and is not to be created.
        """
        *folders, name = _parts_of(path)
        with self._folder(path, folders, create=create) as folder_fd:
            yield folder_fd, name

    def sync(self, paths: Iterable[str]) -> None:
        """Make files written by somebody else survive a power cut, with their names.

        A file that is gone by now is passed over.

        Raises:
            PathEscapes: A path leaves the workspace or goes through a link.
            OSError: The disk refused.
        """
        folders: set[tuple[str, ...]] = set()
        for path in paths:
            names = _parts_of(path)
            with (
                contextlib.suppress(FileNotFoundError),
                self._folder(path, names[:-1], create=False) as folder_fd,
            ):
                file_fd = os.open(names[-1], FILE_FLAGS, dir_fd=folder_fd)
                try:
                    os.fsync(file_fd)
                finally:
                    os.close(file_fd)
            folders.update(names[:depth] for depth in range(len(names)))
        for names in folders:
            with (
                contextlib.suppress(FileNotFoundError),
                self._folder("/".join(names), names, create=False) as folder_fd,
            ):
                os.fsync(folder_fd)

    @contextlib.contextmanager
    def _folder(self, path: str, names: Sequence[str], *, create: bool) -> Iterator[int]:
        """Yield a descriptor of the folder `names`, opened one name at a time."""
        if create:
            self.root.mkdir(parents=True, exist_ok=True)
        folder_fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in names:
                if create:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, dir_fd=folder_fd)
                try:
                    child_fd = os.open(name, FOLDER_FLAGS, dir_fd=folder_fd)
                except OSError as error:
                    if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                        raise
                    raise PathEscapes(path, f"{name!r} is a link or a file") from error
                os.close(folder_fd)
                folder_fd = child_fd
            yield folder_fd
        finally:
            os.close(folder_fd)
