"""Pseudonyms of patients: the same patient gets the same one, and only who holds the key can tell which.

HMAC-SHA256 of the patient id (RFC 2104) under a random key of 32 bytes, shortened to 50 bits: ten letters of base32.
Among 100 000 patients two share a pseudonym with a probability below 5e-6.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from protonqa.durable import store_error, sync_folder
from protonqa.errors import StoreError

KEY_VARIABLE = "PROTONQA_PSEUDONYM_KEY"
KEY_NAME = "pseudonym.key"
_KEY_BYTES = 32
_LETTERS = 10
_PSEUDONYM = re.compile(rf"P-[A-Z2-7]{{{_LETTERS}}}")


def is_pseudonym(text: str) -> bool:
    """True for a text in the form of our pseudonyms."""
    return _PSEUDONYM.fullmatch(text) is not None


def pseudonym(patient_id: str, key: bytes) -> str:
    """The pseudonym of a patient id; empty for an empty id.

    Parameters
    ----------
    patient_id : str
        As DICOM PatientID; blanks around it do not count.
    key : bytes
        See `pseudonym_key`.
    """
    text = patient_id.strip()
    if not text:
        return ""
    digest = hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return f"P-{base64.b32encode(digest).decode('ascii')[:_LETTERS]}"


def patients_meant(text: str, folder: Path) -> tuple[str, ...]:
    """Pseudonyms that a user may mean: the text itself, and the pseudonym of it as a patient id where there is a key.

    Raises
    ------
    StoreError
        The key is damaged or cannot be read.
    """
    known = bool(os.environ.get(KEY_VARIABLE, "").strip()) or (folder / KEY_NAME).exists()
    if is_pseudonym(text.upper()) or not known:
        return (text.strip(),)
    return (text.strip(), pseudonym(text, pseudonym_key(folder)))


def pseudonym_key(folder: Path) -> bytes:
    """The key in the data folder, made at first use; or of the file that PROTONQA_PSEUDONYM_KEY names.

    Computers that share a database need the same key to give a patient the same pseudonym. It must not lie in the
    database: who has both can try out patient ids.

    Raises
    ------
    StoreError
        The key is damaged, or cannot be read or made.
    """
    named = os.environ.get(KEY_VARIABLE, "").strip()
    path = Path(named).expanduser() if named else folder / KEY_NAME
    step = "read"
    try:
        if not named and not path.exists():
            step = "make"
            _make(path)
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise store_error("key of the pseudonyms", step, error) from error
    except ValueError as error:
        raise _damaged() from error
    if len(key) != _KEY_BYTES:
        raise _damaged()
    return key


def _damaged() -> StoreError:
    return StoreError(
        "the key of the pseudonyms is damaged",
        expected=f"{2 * _KEY_BYTES} hexadecimal digits",
        remedy="bring it back from a backup; with a new key known patients get new pseudonyms",
    )


def _make(path: Path) -> None:
    """Write a new key for the owner alone; of several that try at once the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(6)}.tmp.key")
    try:
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(_KEY_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        except OSError:
            if not path.exists():
                temporary.rename(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
