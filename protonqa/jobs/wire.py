"""Frames on the pipes between this process and its workers: a JSON header and plain bytes, never a pickle."""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

from protonqa.jobs.outcome import CellFile, CellOutcome, CellState

_SIZES = struct.Struct(">II")
#: A table row may be long, but not this long; a larger number means the pipe is out of step.
_MOST_HEADER_BYTES = 256 * 1024 * 1024


def write_frame(stream: BinaryIO, header: dict[str, Any], payload: bytes = b"") -> None:
    """Write one frame and flush it; OSError when the other side is gone."""
    text = json.dumps(header, ensure_ascii=True).encode("ascii")
    stream.write(_SIZES.pack(len(text), len(payload)))
    stream.write(text)
    stream.write(payload)
    stream.flush()


def read_frame(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next frame; None when the other side has closed its end, in the middle of a frame or between two."""
    head = stream.read(_SIZES.size)
    if len(head) < _SIZES.size:
        return None
    header_bytes, payload_bytes = _SIZES.unpack(head)
    if header_bytes > _MOST_HEADER_BYTES:
        return None
    text, payload = stream.read(header_bytes), stream.read(payload_bytes)
    if len(text) < header_bytes or len(payload) < payload_bytes:
        return None
    header: dict[str, Any] = json.loads(text)
    return header, payload


def outcome_header(outcome: CellOutcome) -> dict[str, Any]:
    """An outcome without its content, as JSON."""
    return {**outcome.identity(), "seconds": outcome.seconds}


def outcome_from(header: dict[str, Any], content: bytes) -> CellOutcome:
    """The outcome that `outcome_header` described."""
    return CellOutcome(
        position=header["position"],
        cell_id=header["id"],
        state=CellState(header["state"]),
        content=content,
        is_json=header["json"],
        code=header["code"],
        message=header["message"],
        files=tuple(CellFile(name=n, size_bytes=s, sha256=h) for n, s, h in header["files"]),
        seconds=header["seconds"],
    )
