"""Whether a folder lies on this computer: SQLite's write-ahead log is for one computer only."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from protonqa.errors import StoreError

_NETWORK_KINDS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "pvfs2"}
    | {"orangefs", "davfs", "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.davfs2", "fuse.glusterfs", "fuse.ceph"}
    | {"fuse.cephfs", "fuse.smbnetfs"}
)
_MOUNTS = Path("/proc/self/mounts")


def refuse_network_folder(folder: Path, *, label: str) -> None:
    """Refuse a folder on a network share for a database.

    Parameters
    ----------
    folder : Path
        An existing folder.
    label : str
        What would be kept there, for the message.

    Raises
    ------
    StoreError
    """
    kind = network_file_system(folder)
    if kind:
        raise StoreError(
            f"the {label} cannot be kept on a network share",
            got=kind,
            expected="a folder on a disk of this computer",
            remedy="choose a local folder and copy the finished results",
        )


def network_file_system(folder: Path) -> str:
    """Kind of the network share that `folder` lies on; empty for a local disk, or where the system does not say."""
    if sys.platform == "win32":
        return _windows_share(folder.resolve())
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    kind = mount_kind(folder.resolve(), mounts)
    return kind if kind in _NETWORK_KINDS else ""


def mount_kind(folder: Path, mounts: str) -> str:
    """Kind of the file system that holds `folder`, after a table in the form of ``/proc/mounts``."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # Blanks in names are written as octal escapes.
        point = Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[1]))
        # Of two mounts on one point the later hides the earlier.
        if folder.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind


def _windows_share(folder: Path) -> str:
    if sys.platform == "win32":
        import ctypes

        remote = 4
        shared = folder.anchor.startswith("\\\\") or ctypes.windll.kernel32.GetDriveTypeW(folder.anchor) == remote
        return "a Windows share" if shared else ""
    return ""
