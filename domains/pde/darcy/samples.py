"""Pairs of medium and head that a model returned, each with its certificate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scidiff.errors import ConfigError
from scidiff.io.files import atomic_write
from scidiff.random import Noise
from scidiff.sample.samples import Samples, Status

from ..certificate import Certificate, certify
from ..contract import State
from ..problems.darcy import Darcy
from .decode import relative
from .observations import Observations

__all__ = ["DarcySamples", "build_samples"]

_BOUND = 1e-10


@dataclass(frozen=True)
class DarcySamples(Samples):
    """Samples whose items are pairs, shape ``(2, n, n)``: coefficient and head.

    The records are the certificate of each sample, see `build_samples`; `raw` holds what the network itself predicted
    for the head, shape ``(count, n, n)``, which satisfies nothing exactly.
    """

    raw: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def media(self) -> np.ndarray:
        """Coefficients, shape ``(count, n, n)``."""
        return np.stack(self.items)[:, 0]

    @property
    def heads(self) -> np.ndarray:
        """Heads, shape ``(count, n, n)``."""
        return np.stack(self.items)[:, 1]

    @property
    def state(self) -> State:
        """The pairs as a state of the problem, with the source."""
        a, u = torch.from_numpy(self.media), torch.from_numpy(self.heads)
        return {"a": a, "f": torch.full_like(a, Darcy.source), "u": u}

    def certificate(self, *, independent: bool = True) -> Certificate:
        """Certificate of all pairs, with the distance from quadratic finite elements if asked for."""
        return certify(Darcy(self.media.shape[-1]), self.state, independent=independent)

    def take(self, rows: Sequence[int] | np.ndarray) -> DarcySamples:
        """Samples of the chosen rows, by numbers in the given order or by a boolean mask."""
        chosen = super().take(rows)
        index = np.arange(len(self))[np.asarray(rows, dtype=None if len(rows) else np.int64)]
        return replace(chosen, raw=self.raw[index])

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from ..display import pairs_card

        return pairs_card(self)

    def save(self, path: str | Path) -> Path:
        """Write pairs and certificates to an ``.npz`` file, or a picture of the first pairs to a ``.png``.

        Raises
        ------
        ConfigError
            If the ending is another one.
        """
        path = Path(path)
        if path.suffix not in (".npz", ".png"):
            raise ConfigError(f"the file is '{path}'; expected a name that ends in .npz or .png")
        if path.suffix == ".png":
            from .pictures import pair_picture

            content = pair_picture(self)
            with atomic_write(path, "wb") as file:
                file.write(content)
            return path
        with atomic_write(path, "wb") as file:
            np.savez_compressed(
                file,
                a=self.media,
                u=self.heads,
                u_network=self.raw,
                seed=self.seed,
                index=self.index,
                provenance=np.array(json.dumps(dict(self.provenance), sort_keys=True)),
                **{f"certificate_{name}": values for name, values in self.records.items()},
            )
        return path


def build_samples(
    state: State,
    raw: np.ndarray,
    seen: Observations,
    noise: Noise,
    calls: np.ndarray,
    records: dict[str, np.ndarray],
    provenance: dict[str, Any],
) -> DarcySamples:
    """Certify pairs.

    Parameters
    ----------
    state
        ``a``, ``f`` and ``u``.
    raw
        Heads as the network predicted them.
    seen
        Readings.
    noise, calls
        Identity of the samples, and network calls of each.
    records
        Further records.
    provenance
        How they were made.

    Returns
    -------
    DarcySamples
        With the records ``residual`` (largest residual over the source), ``residual_mass`` (its L2 norm), ``mass``
        (flow through the boundary against supply), ``medium_misfit`` (share of wrong sensors of the medium),
        ``head_misfit`` (relative L2 at the sensors of the head), ``network_error`` and ``network_residual`` (relative
        distance of the network's head from the head, and the L2 norm of its residual over that of the source).
    """
    problem, count = Darcy(state["a"].shape[-1]), len(noise)
    a, u = state["a"].numpy(), state["u"].numpy()
    finite = np.isfinite(raw).all((1, 2)) & np.isfinite(u).all((1, 2))
    found = certify(problem, {name: torch.nan_to_num(value) for name, value in state.items()}, independent=False)
    rest = problem.residual({**state, "u": torch.from_numpy(raw)}).flatten(1)
    medium = np.zeros(count) if seen.medium is None else (seen.medium.at(a) != seen.medium.values).mean(1)
    head = np.zeros(count) if seen.head is None else relative(seen.head.at(u), seen.head.values[None])
    known = {
        "residual": found.relative.numpy(),
        "residual_mass": found.residual_mass.numpy(),
        "mass": found.constraints["mass"].numpy(),
        "medium_misfit": medium,
        "head_misfit": head,
        "network_error": relative(raw, u),
        "network_residual": (rest.square().mean(1).sqrt() / problem.source).numpy(),
    }
    good = (known["residual"] <= _BOUND) & (medium == 0)
    status = [
        Status.NON_FINITE if not whole else Status.OK if right else Status.INVALID
        for whole, right in zip(finite, good, strict=True)
    ]
    items = list(np.stack([a, u], 1))
    return DarcySamples(items, status, noise.samples, noise.seed, calls, known | records, provenance, raw)
