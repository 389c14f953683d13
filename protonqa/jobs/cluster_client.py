"""Connecting to a Dask scheduler, and what can be wrong with that, in one line each."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from protonqa.errors import DeviceError, InputError


@contextmanager
def connected(address: str, connect_s: float, certificates: Mapping[str, Path]) -> Iterator[Any]:
    """A ``distributed.Client``, closed at the end of the block.

    Parameters
    ----------
    address : str
    connect_s : float
        How long to wait for an answer.
    certificates : mapping
        Files by Dask's names: ``tls_ca_file``, ``tls_client_cert``, ``tls_client_key``; those of Dask's configuration
        where absent.

    Raises
    ------
    DeviceError
        dask.distributed is not installed, or nobody answers in time.
    InputError
        Certificates that cannot be used.
    """
    distributed = _distributed()
    security = _security(distributed, address, certificates)
    with _quiet():
        client = _client(distributed, address, connect_s, security)
        try:
            yield client
        finally:
            with suppress(OSError, RuntimeError, TimeoutError):
                client.close(timeout=5)


@contextmanager
def _quiet() -> Iterator[None]:
    """What goes wrong with the connection is told by our own errors, not by tracebacks on standard error."""
    loggers = [logging.getLogger(f"distributed.{name}") for name in ("batched", "client", "comm", "core", "utils")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise DeviceError(
            "dask.distributed is not installed, so no cluster can be used",
            remedy='install it with: pip install "protonqa[cluster]", or leave --scheduler out',
        ) from error
    return distributed


def _client(distributed: Any, address: str, connect_s: float, security: Any) -> Any:
    try:
        return distributed.Client(address, timeout=connect_s, security=security, set_as_default=False, name="protonqa")
    except OSError as error:
        raise DeviceError(
            "the scheduler does not answer",
            got=f"no answer in {connect_s:g} s",
            expected="a running Dask scheduler",
            remedy="check its address and start it",
        ) from error


def _security(distributed: Any, address: str, certificates: Mapping[str, Path]) -> Any:
    """Dask's security settings, proven complete before a client is made that could not be closed again."""
    try:
        security = distributed.Security(**{name: str(path) for name, path in certificates.items()})
        complete = security.get_connection_args("client").get("ssl_context") is not None
    except (OSError, TypeError, ValueError) as error:
        raise _unusable_tls(type(error).__name__) from error
    if address.startswith("tls:") and not complete:
        raise _unusable_tls("no complete set")
    return security


def _unusable_tls(got: str) -> InputError:
    return InputError(
        "the TLS settings of the cluster cannot be used",
        got=got,
        expected="files with certificate, key and authority of the cluster",
        remedy="name them, or set distributed.comm.tls in Dask's configuration",
    )
