"""Validity by construction: a clean molecule is drawn inside the sampler, never outside the rules of valence.

`ValenceProjection` is a transform of the prediction. It takes the factorised prediction ``F`` of all atoms and bonds
and returns the point mass at one molecule drawn from ``F`` under constraints that can always be met:

1. *Atoms* are drawn one by one; a token is masked if the atoms could no longer be joined into one molecule.
2. *Bonds* are drawn in order of confidence (lowest entropy of ``F`` first, so that the order never looks at sampled
   values); a class is masked if it exceeds the remaining valence budget of an end, if it is aromatic at a non-aromatic
   end, or if the parts could no longer be joined (see below).
3. *Parts* are joined: while there are several, a bond between two of them is drawn with probability proportional to its
   odds ``F(class) / F(none)``.
4. *Aromatic parts* without a Kekulé structure are repaired where a maximum matching leaves an atom over: ``n`` becomes
   ``[nH]`` if that is open and settles it, otherwise the aromatic bonds of the atom become single.

**Joining.** Let the present graph have ``C`` parts, let ``S`` be the free valence of given atoms that may grow and
``N`` that of new atoms. Given atoms bond only to new ones, so ``C - 1`` joining bonds exist if and only if every part
has free valence and ``min(S, C - 1) + N >= 2 (C - 1)``. Steps 1 to 3 keep this true, so that they never fail and
nothing is ever rejected or retried.

**Cost.** Every mask removes probability: a draw whose allowed classes have mass ``Z`` under ``F`` costs ``-log Z``; a
repair that changes a class costs ``log F(old) - log F(new)``. The sum over a step is recorded per sample, in nats, as
``cost_last``, the sum over all steps as ``cost``. The projection makes a sampler *biased* towards valid molecules; the
cost says by how much.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import NumericalError
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform
from scidiff.spaces import State
from scidiff.spaces.categorical import draw, draw_probs, one_hot_log

from .assembly import ORDER, Assembly
from .graphs import edges, pair_count, pair_index
from .kekule import kekule_form
from .vocabulary import Bond, Vocabulary

__all__ = ["ValenceProjection"]

_EXCLUDED = -1e6
"""Log-probability of a bond class that ``F`` excludes: it is taken only where nothing else leads to a molecule."""


@dataclass(frozen=True)
class ValenceProjection(Transform):
    """Draw a valid molecule from the prediction, and predict it with certainty.

    The state needs the record ``size``, the number of atoms of each sample; sites beyond are padding. Where atoms are
    given, the record ``valence`` holds their free valence, the number of hydrogens that new atoms may replace.

    Parameters
    ----------
    vocabulary
        Tokens, budgets and aromatic flags.
    bonds_until
        Largest time at which whole molecules are drawn. At later times only the tokens are drawn under their
        constraint, without which a clean token could later make a molecule impossible, and the prediction of the bonds
        passes as it is. At the last step whole molecules have to be drawn, or nothing is guaranteed.
    """

    vocabulary: Vocabulary
    bonds_until: float = 1.0
    label = "biased"

    @property
    def stochastic(self) -> bool:
        """Molecules are drawn."""
        return True

    def __call__(self, m: State, state: RunState, evaluation: Evaluation) -> tuple[State, RunState]:
        """Replace ``m`` by the point mass at a valid molecule."""
        draft = _Draft(self, m, state)
        draft.draw_atoms()
        whole = max(float(part.max()) if part.numel() else 0.0 for part in state.t.values()) <= self.bonds_until
        if whole:
            draft.draw_bonds()
            draft.join_parts()
            draft.repair_aromatics()
        certain = dict(m)
        for key in ("atoms", "bonds") if whole else ("atoms",):
            clean = torch.from_numpy(draft.clean[key]).to(m[key].device)
            sure = one_hot_log(clean.clamp_max(m[key].shape[-1] - 1), m[key].shape[-1])
            certain[key] = torch.where(state.free[key].unsqueeze(-1), sure, m[key])
        cost = torch.from_numpy(draft.cost)
        total = state.records["cost"] + cost if "cost" in state.records else cost
        return certain, state.record("cost", total).record("cost_last", cost)

    @cached_property
    def protonated(self) -> dict[int, int]:
        """Class of the same token with one more hydrogen, for aromatic hetero atoms that have one."""
        return {
            k: other
            for k, token in enumerate(self.vocabulary.tokens)
            for other, richer in enumerate(self.vocabulary.tokens)
            if token.aromatic
            and (token.element, token.charge) == (richer.element, richer.charge)
            and richer.aromatic
            and richer.hydrogens == token.hydrogens + 1
        }


class _Draft:
    """The molecules of a batch while they are drawn."""

    def __init__(self, projection: ValenceProjection, m: State, state: RunState) -> None:
        self.projection, self.vocabulary = projection, projection.vocabulary
        self.log_f = {"atoms": _normalised(m["atoms"])}
        self.bonds = m["bonds"]
        self.free = {key: value.cpu().numpy() for key, value in state.free.items()}
        batch, size = self.free["atoms"].shape
        self.rows = np.arange(batch)
        self.i, self.j = pair_index(size)
        self.real = np.arange(size) < state.records["size"].numpy()[:, None]
        self.free["atoms"] = self.free["atoms"] & self.real
        self.free["bonds"] = self.free["bonds"] & self.real[:, self.i] & self.real[:, self.j]
        self.clean = {key: value.cpu().numpy().copy() for key, value in state.x.items()}
        self.clean["atoms"][~self.real] = 0
        self.cost = np.zeros(batch)
        given = state.records.get("valence", torch.zeros(batch, size, dtype=torch.int64)).numpy()
        self.assembly = Assembly(self.real, self.free, self.clean["bonds"], given)
        self.uniform = partial(state.noise.uniform, step=state.i)

    def draw_atoms(self) -> None:
        """Draw the tokens so that the atoms can be joined."""
        budgets, free, assembly = self.vocabulary.budgets, self.free["atoms"], self.assembly
        u = self.uniform((free.shape[1],), stream="projection/atoms")
        possible = np.isfinite(self.log_f["atoms"])
        most = np.where(free, np.where(possible, budgets, 0).max(-1) - assembly.used, 0)
        later = most[:, ::-1].cumsum(1)[:, ::-1] - most
        need, last, slot = assembly.need, assembly.last_of_part & (assembly.parts > 1)[:, None], assembly.slot.copy()
        drawn = np.zeros(len(self.rows), dtype=np.int64)
        for k in range(free.shape[1]):
            active, part = free[:, k], assembly.part[:, k]
            left = budgets - assembly.used[:, k, None]
            enough = (left >= 0) & (drawn[:, None] + left + later[:, k, None] >= need[:, None])
            starved = last[:, k] & (slot[self.rows, part] == 0)
            allowed = possible[:, k] & enough & ((left > 0) | ~starved[:, None])
            if not (allowed.any(1) | ~active).all():
                raise NumericalError(
                    "no atom token is left that lets the atoms be joined: the vocabulary, or a state that did not come "
                    "from valid molecules, has too little valence; sample with smaller molecules or another model"
                )
            token, cost = _draw(self.log_f["atoms"][:, k], allowed | ~active[:, None], u[:, k])
            self.clean["atoms"][:, k] = np.where(active, token, self.clean["atoms"][:, k])
            self.cost += np.where(active, cost, 0.0)
            gain = np.where(active, left[self.rows, token], 0)
            drawn += gain
            slot[self.rows, part] += gain
        assembly.begin(budgets[np.where(free, self.clean["atoms"], 0)])

    def draw_bonds(self) -> None:
        """Draw the bonds in order of confidence.

        What is drawn depends on the bonds before through one number only, the valence that still fits: the draws for
        all its values are made beforehand, and the loop chooses among them.
        """
        free, counts = self.free["bonds"], self.free["bonds"].sum(1)
        self.log_f["bonds"] = np.maximum(_normalised(self.bonds), _EXCLUDED)
        entropy = -(np.exp(self.log_f["bonds"]) * self.log_f["bonds"]).sum(-1)
        order = np.argsort(np.where(free, entropy, np.inf), axis=1, kind="stable")[:, : counts.max(initial=0)]
        u = self.uniform((free.shape[1],), stream="projection/bonds").gather(1, torch.from_numpy(order))
        log_f = np.take_along_axis(self.log_f["bonds"], order[..., None], 1)
        suited = np.take_along_axis(self._suited(), order[..., None], 1)
        answers = [_draw(log_f, suited & (ORDER <= room), u) for room in range(ORDER.max() + 1)]
        drawn, cost = (np.stack(part) for part in zip(*answers, strict=True))
        self.clean["bonds"][free] = Bond.NONE
        for k in range(order.shape[1]):
            pair, active = order[:, k], k < counts
            room = self.assembly.room(self.rows, self.i[pair], self.j[pair])
            self.cost += np.where(active, cost[room, self.rows, k], 0.0)
            bond = drawn[room, self.rows, k]
            self._bind(np.flatnonzero(active & (bond != Bond.NONE)), pair, bond)

    def _suited(self) -> np.ndarray:
        """Classes that the aromatic flags of the ends permit, shape ``(batch, pairs, classes)``."""
        aromatic = self.vocabulary.aromatic[self.clean["atoms"]]
        i, j = aromatic[:, self.i], aromatic[:, self.j]
        suited = np.ones((*i.shape, len(Bond)), dtype=bool)
        suited[..., Bond.AROMATIC] = i & j
        suited[..., Bond.TRIPLE] = ~(i | j)
        return suited

    def _bind(self, rows: np.ndarray, pair: np.ndarray, bond: np.ndarray) -> None:
        pair, bond = pair[rows], bond[rows]
        self.clean["bonds"][rows, pair] = bond
        self.assembly.bind(rows, self.i[pair], self.j[pair], bond)

    def join_parts(self) -> None:
        """Bind parts to each other until one is left."""
        if not (self.assembly.parts > 1).any():
            return
        u = self.uniform((self.real.shape[1],), stream="projection/join")
        log_f = self.log_f["bonds"]
        odds = np.where(self._suited() & self.free["bonds"][..., None], log_f - log_f[..., :1], -np.inf)
        odds[..., Bond.NONE] = -np.inf
        pair, bond = np.zeros((2, len(self.rows)), dtype=np.int64)
        for k in range(self.real.shape[1]):
            rows = np.flatnonzero(self.assembly.parts > 1)
            if not len(rows):
                return
            room = self.assembly.room(rows[:, None], self.i, self.j)
            fits = self.assembly.apart(rows)[..., None] & (ORDER <= room[..., None])
            flat = np.where(fits, odds[rows], -np.inf).reshape(len(rows), -1)
            chosen = draw(torch.from_numpy(flat), u[rows, k]).numpy()
            self.cost[rows] -= flat[np.arange(len(rows)), chosen]
            pair[rows], bond[rows] = np.divmod(chosen, len(Bond))
            self._bind(rows, pair, bond)

    def repair_aromatics(self) -> None:
        """Give every aromatic part a Kekulé structure."""
        sizes = self.real.sum(1)
        for row in np.flatnonzero((self.clean["bonds"] == Bond.AROMATIC).any(1)):
            atoms = self.clean["atoms"][row, : sizes[row]]
            bonded = edges(self.clean["bonds"][row], sizes[row])
            given = np.flatnonzero(~self.free["atoms"][row, : sizes[row]])
            for atom in kekule_form(atoms.tolist(), bonded, self.vocabulary, given).unmatched:
                self._release(row, atom, bonded)

    def _release(self, row: int, atom: int, bonded: list[tuple[int, int, int]]) -> None:
        """Take an atom that has no partner for its pi electron out of the aromatic part."""
        old = int(self.clean["atoms"][row, atom])
        new = self.projection.protonated.get(old)
        log_f = self.log_f["atoms"][row, atom]
        settles = self.free["atoms"][row, atom] and self.assembly.left[row, atom] == 1
        if new is not None and settles and np.isfinite(log_f[new]):
            self.clean["atoms"][row, atom] = new
            self.cost[row] += log_f[old] - log_f[new]
            return
        for i, j, bond in bonded:
            pair = pair_count(j) + i
            if atom in (i, j) and bond == Bond.AROMATIC and self.free["bonds"][row, pair]:
                self.clean["bonds"][row, pair] = Bond.SINGLE
                log_f = self.log_f["bonds"][row, pair]
                self.cost[row] += log_f[Bond.AROMATIC] - log_f[Bond.SINGLE]


def _normalised(m: Tensor) -> np.ndarray:
    """Log-probabilities as an array, summing to one."""
    return torch.log_softmax(m.double().cpu(), dim=-1).numpy()


def _draw(log_f: np.ndarray, allowed: np.ndarray, u: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Draw classes among the allowed ones, with ``-log`` of the mass that these have."""
    masked = np.where(allowed, log_f, -np.inf)
    top = masked.max(-1)
    weights = np.exp(masked - top[..., None])
    return draw_probs(torch.from_numpy(weights), u).numpy(), -(top + np.log(weights.sum(-1)))
