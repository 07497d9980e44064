"""Files that are whole or absent: what a crash or a full disk leaves behind is never half of one."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from aurea.domain.errors import Blocked

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Put `data` at `path`, durable when this returns; readers see the old content or the new, never a part.

    Folders are made as needed. `Blocked` where the disk is full or not writable; what stood there then is intact.
    """
    content = data.encode() if isinstance(data, str) else data
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as fault:
        raise explained(fault, path) from fault


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a rename or a new file survives a power cut only after this."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def explained(fault: OSError, path: Path) -> Exception:
    """`Blocked` with a remedy where the disk is at fault, else the fault itself."""
    if fault.errno not in _DISK:
        return fault
    return Blocked(
        f"{str(path)!r} cannot be written: {fault.strerror}", remedy="free space or mend the permissions, then resume"
    )
