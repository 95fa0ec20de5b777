"""Processes, device, precision and threads of a run: the part that Lightning Fabric does."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from scidiff.train.config import Precision

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["broadcast_weights", "launch", "threads"]


def launch(precision: Precision, devices: int | str, accelerator: str) -> Fabric:
    """Start the processes of a run, or join those of ``torchrun``.

    Parameters
    ----------
    precision
        Arithmetic of the loss.
    devices
        Processes on this machine, or ``"auto"``; under ``torchrun`` its own number holds.
    accelerator
        ``"cpu"``, ``"cuda"`` or ``"auto"``.

    Returns
    -------
    lightning_fabric.Fabric
        Launched.
    """
    from lightning_fabric import Fabric

    nodes = 1
    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    several = nodes > 1 or devices not in (1, "1")
    with _quiet(logging.getLogger("lightning_fabric")):
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy="ddp" if several else "auto",
            precision=precision.value,
        )
        fabric.launch()
    return fabric


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Let a logger speak of warnings only."""
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def broadcast_weights(network: nn.Module) -> None:
    """Give every process the parameters and buffers of the first.

    Parameters
    ----------
    network
        The network, built alike in all processes.
    """
    for tensor in network.state_dict().values():
        torch.distributed.broadcast(tensor, src=0)


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Set torch's CPU threads inside a ``with`` block.

    Parameters
    ----------
    count
        Threads; ``None`` changes nothing.
    """
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
