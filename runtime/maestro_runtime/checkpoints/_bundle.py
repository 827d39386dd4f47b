"""The bundle: the document of a checkpoint and its artifacts in one tar, the same on any machine.

There is one bundle for a checkpoint, byte for byte, so what is read is not parsed but compared with
what would have been written: a link, a device, a name twice or out of place cannot even be said.
"""

import hashlib
import re
import tarfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from maestro_actors.engine import Artifact
from maestro_runtime.checkpoints._document import DOCUMENT_BYTES_MAX, Content, parse, render
from maestro_runtime.checkpoints._report import latest_files
from maestro_runtime.checkpoints.errors import BundleInvalid

BLOCK_BYTES: Final = 512
END: Final = bytes(2 * BLOCK_BYTES)
_SIZE: Final = slice(124, 135)
"""Where the header of a member has its size."""
_OCTAL: Final = re.compile(rb"[0-7]{11}")


def document_name(phase: str) -> str:
    """Return the name of the document of a phase's checkpoint."""
    return f"checkpoint_{phase}.json"


def bundle_name(phase: str) -> str:
    """Return the name of the bundle of a phase's checkpoint."""
    return f"checkpoint_{phase}.tar"


def packed(content: Content, files: Iterator[tuple[str, bytes]]) -> Iterator[bytes]:
    """Yield the bundle, a part at a time.

    Args:
        content: Of the document.
        files: Its artifacts with their verified contents, by path.
    """
    yield _member(document_name(content.phase), render(content))
    for path, data in files:
        yield _member(_artifact_name(path), data)
    yield END


def read_bundle(path: Path) -> Content:
    """Return the content of a bundle that was verified whole.

    Raises:
        BundleInvalid: It is not what `packed` yields, or breaks a rule.
    """
    content, _ = deque(_members(path), maxlen=1)[0]
    return content


def unpacked(path: Path, content: Content) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of each artifact in a bundle that has been read, verified again.

    Raises:
        BundleInvalid: The bundle is not what it was.
    """
    for found, file in _members(path):
        if found != content:
            raise BundleInvalid(str(path), "it must not change while it is imported")
        if file is not None:
            yield file


def _members(path: Path) -> Iterator[tuple[Content, tuple[str, bytes] | None]]:
    """Yield the content alone, then with each artifact."""
    if not path.is_file():
        raise BundleInvalid(str(path), "it must be a plain file")
    try:
        with path.open("rb") as file:
            content = _document(file, path)
            yield content, None
            files = latest_files(content.tasks)
            for name in sorted(files):
                yield content, (name, _artifact(file, path, files[name]))
            if file.read(len(END) + 1) != END:
                raise BundleInvalid(str(path), "it must end after its last artifact")
    except OSError as error:
        reason = f"it cannot be read: {error.strerror or error}"
        raise BundleInvalid(str(path), reason) from error


def _document(file: BinaryIO, path: Path) -> Content:
    head = file.read(BLOCK_BYTES)
    octal = _OCTAL.fullmatch(head[_SIZE])
    size = -1 if octal is None else int(octal[0], 8)
    if not 0 <= size <= DOCUMENT_BYTES_MAX:
        rule = f"it must begin with a document of at most {DOCUMENT_BYTES_MAX} bytes"
        raise BundleInvalid(str(path), rule)
    data = _read(file, path, size)
    try:
        content = parse(data)
    except ValueError as error:
        raise BundleInvalid(str(path), str(error)) from error
    if head != _header(document_name(content.phase), size):
        rule = f"it must begin with {document_name(content.phase)!r}"
        raise BundleInvalid(str(path), rule)
    return content


def _artifact(file: BinaryIO, path: Path, artifact: Artifact) -> bytes:
    head = _header(_artifact_name(artifact.path), artifact.size_bytes)
    if file.read(len(head)) != head:
        rule = (
            f"next must be the plain file {artifact.path!r} of {artifact.size_bytes} bytes, "
            "got something else"
        )
        raise BundleInvalid(str(path), rule)
    data = _read(file, path, artifact.size_bytes)
    found = hashlib.sha256(data).hexdigest()
    if found != artifact.sha256:
        rule = f"artifact {artifact.path!r} must have sha256 {artifact.sha256[:12]}"
        raise BundleInvalid(str(path), f"{rule}, got {found[:12]}")
    return data


def _read(file: BinaryIO, path: Path, size: int) -> bytes:
    """Return a member's content and pass over its padding."""
    data = file.read(size)
    if len(data) < size or any(file.read(-size % BLOCK_BYTES)):
        raise BundleInvalid(str(path), "it is cut short, or a gap in it is not empty")
    return data


def _member(name: str, data: bytes) -> bytes:
    return _header(name, len(data)) + data + bytes(-len(data) % BLOCK_BYTES)


def _header(name: str, size: int) -> bytes:
    """Return the header of a plain file of nobody's, from the beginning of time, mode 0644."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT)


def _artifact_name(path: str) -> str:
    return f"artifacts/{path}"
