"""Ray, joined or started for the time of a scan, without its chatter, and what room it has for workers."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import socket
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from aigdetect.errors import UsageError
from aigdetect.text import printable

_CONNECT = 10.0  # seconds within which a cluster must answer
_LONGEST = 300  # characters of what Ray has to say
_ENVIRONMENT = {
    "RAY_worker_niceness": "0",  # of a cluster that is started here: its workers would come after all else
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclass(frozen=True)
class Share:
    """What each worker gets of a cluster.

    Attributes:
        cpus: processors.
        gpus: GPUs.
        count: how many such workers the cluster has room for.
    """

    cpus: int
    gpus: int
    count: int


def require_ray() -> None:
    """Make sure that Ray is there, without importing it.

    Raises:
        UsageError: if it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError("--engine ray: Ray is not installed; pip install 'aigdetect[ray]'")


@contextmanager
def joined(address: str | None) -> Generator[None, None, None]:
    """Be part of a cluster.

    Args:
        address: ``host:port``, or ``auto`` for one that runs on this machine; None for what ``RAY_ADDRESS``
            says, else for a cluster of this machine alone that ends with the scan.

    Raises:
        UsageError: if there is no such cluster.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in _ENVIRONMENT.items()})
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _check(address)
    import ray

    _hush()
    try:
        ray.init(
            address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        text = printable(" ".join(str(error).split())[:_LONGEST])
        raise UsageError(f"Ray cluster {address}: {text}") from error
    try:
        yield
    finally:
        ray.shutdown()


def last_line(error: Exception) -> str:
    """The line of Ray's account of a death that says why, behind those that say where."""
    return printable(str(error).strip().rpartition("\n")[2].strip()[:_LONGEST])


def share(device: str) -> Share:
    """What each worker gets of the cluster that was joined: a GPU if there are any, else a machine.

    Args:
        device: where the models run; ``"auto"`` takes GPUs if there are any.

    Raises:
        UsageError: if there are no GPUs, but needed.
    """
    import ray

    nodes: Any = ray.nodes()  # type: ignore[no-untyped-call]
    return share_of([node["Resources"] for node in nodes if node["Alive"]], device)


def share_of(nodes: Sequence[Mapping[str, Any]], device: str) -> Share:
    """What each worker gets of a cluster; the rest as for :func:`share`.

    Args:
        nodes: the resources of each machine, as Ray names them.
        device: see there.
    """
    with_gpus = [node for node in nodes if node.get("GPU", 0) >= 1]
    if device == "cuda" and not with_gpus:
        raise UsageError("device 'cuda': the cluster has no GPU; use auto or cpu")
    if with_gpus and device in ("auto", "cuda"):
        cpus = min(int(node.get("CPU", 0) // node["GPU"]) for node in with_gpus)
        return Share(cpus, 1, sum(int(node["GPU"]) for node in with_gpus))
    processors = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    cpus = min(processors, default=1)  # a cluster may grow only when something is asked of it
    return Share(cpus, 0, max(1, sum(one // cpus for one in processors)))


def _hush() -> None:
    """Keep what Ray says of dead workers off standard output, where rows may go; no setting does it."""
    worker: Any = importlib.import_module("ray._private.worker")
    worker.print_to_stdstream = lambda *_, **__: None


def _check(address: str) -> None:
    """Refuse what Ray would wait for, or what cannot work.

    Raises:
        UsageError: with what to do.
    """
    if "://" in address:
        raise UsageError(
            f"Ray cluster {address}: a scan runs on a machine of the cluster; give host:port, or auto there"
        )
    host, colon, port = address.rpartition(":")
    if not colon:
        return
    try:
        with closing(socket.create_connection((host.strip("[]"), int(port)), _CONNECT)):
            return
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"Ray cluster {address}: cannot be reached ({reason})") from error
