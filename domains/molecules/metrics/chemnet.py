"""Activations of ChemNet, the network behind the Frechet ChemNet distance.

ChemNet [1]_ reads a SMILES string as 350 one-hot tokens and gives 512 numbers. Its weights come inside the package
``fcd_torch``. An activation belongs to a molecule alone, so that it is computed once for each distinct molecule, and
every distance over any part of a set follows from the activations.

References
----------
.. [1] K. Preuer et al., J. Chem. Inf. Model. 58 (2018) 1736, doi:10.1021/acs.jcim.8b00234
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch

from scidiff.errors import ConfigError, MissingPackageError

__all__ = ["BATCH", "DIMENSION", "activations"]

BATCH = 64
DIMENSION = 512
_TOKENS = 350


@lru_cache
def _network() -> torch.nn.Module:
    """Load ChemNet, once a process."""
    try:
        from fcd_torch import FCD
    except ImportError as error:
        raise MissingPackageError(
            "FCD needs the package fcd_torch, which is not installed: pip install fcd_torch"
        ) from error
    return FCD(device="cpu").model


def _one_hot(smiles: Sequence[str]) -> torch.Tensor:
    """Tokens of canonical SMILES, scaled as the network was trained, shape ``(batch, alphabet, 350)``."""
    from fcd_torch.utils import get_one_hot

    tokens = np.stack([get_one_hot(text, _TOKENS) for text in smiles])
    return torch.from_numpy(tokens / tokens.shape[-1]).transpose(1, 2).float()


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Set the threads of torch for a block, and set them back."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def activations(smiles: Sequence[str], *, batch: int = BATCH, threads: int | None = None) -> np.ndarray:
    """Activations of ChemNet.

    Parameters
    ----------
    smiles
        Canonical SMILES of valid molecules; tokens beyond the 350th are cut off, as in the published distance.
    batch
        Molecules for each pass.
    threads
        Threads of torch; None leaves them as they are.

    Returns
    -------
    values
        Tensor of float32, shape ``(len(smiles), 512)``.

    Raises
    ------
    ConfigError
        If `batch` or `threads` is below 1.
    MissingPackageError
        If ``fcd_torch`` is not installed.
    """
    if batch < 1 or (threads is not None and threads < 1):
        raise ConfigError(f"batch is {batch} and threads is {threads}; both must be 1 or more (threads may be None)")
    network = _network()
    values = np.empty((len(smiles), DIMENSION), dtype=np.float32)
    with _threads(threads), torch.inference_mode():
        for start in range(0, len(smiles), batch):
            values[start : start + batch] = network(_one_hot(smiles[start : start + batch])).numpy()
    return values
