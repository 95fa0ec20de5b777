"""The network as the loop uses it: bound to its process and condition, all branches in one batch, every call booked.

For every branch a policy says which samples are evaluated and what the others get instead (see
`scidiff.sample.policy`). The rows that are due, of all branches, are gathered into one batch where their conditions
can be joined, so that a skipped evaluation is time saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from scidiff.denoise.condition import join_conditions, take_condition
from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError
from scidiff.process.base import Kind, Process, ProductProcess
from scidiff.sample.state import RunState
from scidiff.sample.transform import Branch, Transform
from scidiff.spaces import State, state_map

__all__ = ["FAILED", "MAIN", "Evaluation", "Judging", "Model", "Policy", "Weighing"]

MAIN = "main"
"""Name of the branch that has the condition of the run."""

FAILED = "failed/network"
"""Record that marks samples of finite sets for which the network returned NaN: they are not to be used."""


class Policy(Protocol):
    """When the network is evaluated, and what stands in for it: pure, with all memory in ``state.records``."""

    def due(self, state: RunState, branch: str) -> Tensor:
        """Mark the samples to evaluate, shape ``(batch,)``."""
        ...

    def predict(self, state: RunState, branch: str) -> State:
        """Stand in for the network where a sample is not due; rows that are due are not read."""
        ...

    def keep(self, state: RunState, branch: str, m: State, due: Tensor) -> RunState:
        """Remember the prediction `m`, which is fresh where `due`."""
        ...


@runtime_checkable
class Judging(Protocol):
    """A transform whose `close` reads the samples and changes none: it comes after those that may change them."""

    judges: ClassVar[bool]


@runtime_checkable
class Weighing(Protocol):
    """A transform that weighs the move of the rule after each prediction: correctors cannot ask it for one."""

    weighs: ClassVar[bool]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What the network said at one step, and what else may be asked of it.

    Parameters
    ----------
    model
        The network.
    raw
        Prediction of the main branch before any transform.
    branches
        Predictions of the other branches by name.
    graph
        Inputs and output of the main branch, where a transform declared `gradient`.
    incoming
        The transforms so far, each with the prediction as it came to it.
    """

    model: Model
    raw: State
    branches: Mapping[str, State]
    graph: tuple[Tensor, Tensor] | None = None
    incoming: tuple[tuple[Transform, State], ...] = ()

    def before(self, transform: Transform) -> State:
        """Prediction as it came to a transform; that of the network where the transform has had none."""
        return next((m for each, m in self.incoming if each is transform), self.raw)

    def pullback(self, v: Tensor) -> Tensor:
        """Vector-Jacobian product ``(dm/dx)^T v`` of the main branch, shape of the state.

        The Jacobian of the denoised mean is ``(alpha / sigma^2) Cov[x_0 | x_t]``, hence symmetric for an exact one.

        Raises
        ------
        ConfigError
            If no transform declared that it needs the gradient.
        """
        if self.graph is None:
            raise ConfigError("a gradient was asked for that no transform declared; set gradient = True on its class")
        x, m = self.graph
        return torch.autograd.grad(m, x, v.to(m), retain_graph=True)[0]


@dataclass(frozen=True, eq=False)
class Model:
    """A denoiser with its process, the condition of the run, and the policy of its evaluations.

    Parameters
    ----------
    denoiser, process, condition
        As for `scidiff.sample.run`.
    transforms
        Those that act on the prediction, in order; they say which branches are needed.
    policy
        When to evaluate; always by default.
    """

    denoiser: Denoiser
    process: Process | ProductProcess
    condition: Any = None
    transforms: Sequence[Transform] = ()
    policy: Policy | None = None

    def __post_init__(self) -> None:
        if self.policy is not None and self._gradient:
            names = [type(each).__name__ for each in self.transforms if each.gradient]
            raise ConfigError(
                f"{', '.join(names)} needs the gradient of the network, which a policy that skips evaluations "
                f"({type(self.policy).__name__}) does not have; leave one of them out"
            )

    @property
    def _gradient(self) -> bool:
        return any(each.gradient for each in self.transforms)

    def estimate(self, state: RunState) -> tuple[State, RunState]:
        """Evaluate the network and apply the transforms; the state comes back with the calls booked."""
        evaluation, state = self.evaluate(state)
        m = evaluation.raw
        for transform in self.transforms:
            evaluation = replace(evaluation, incoming=(*evaluation.incoming, (transform, m)))
            m, state = transform(m, state, evaluation)
        return _guarded(self.process, m, state)

    def close(self, state: RunState) -> RunState:
        """Let the transforms finish their records after the last step of a run, those that judge the samples last."""
        for transform in sorted(self.transforms, key=lambda each: isinstance(each, Judging)):
            state = transform.close(self.process, state)
        return state

    def correcting(self) -> Callable[[RunState], tuple[State, RunState]]:
        """Make the estimates of the correctors after one step, each with noise of its own."""
        number = count()

        def estimate(state: RunState) -> tuple[State, RunState]:
            weighing = [type(each).__name__ for each in self.transforms if isinstance(each, Weighing)]
            if weighing:
                raise ConfigError(
                    f"a corrector asked for a prediction beside {', '.join(weighing)}, which weighs the moves of the "
                    "rule and knows no weight of a corrector's; leave one of them out"
                )
            scope = state.noise.scope
            m, state = self.estimate(replace(state, noise=state.noise.scoped(f"corrector/{next(number)}")))
            return m, replace(state, noise=replace(state.noise, scope=scope))

        return estimate

    def evaluate(self, state: RunState) -> tuple[Evaluation, RunState]:
        """Evaluate all branches that the transforms ask for at the present state; no law of a finite set has NaN."""
        evaluation, state = self._with_graph(state) if self._gradient else self._plain(state)
        raw, state = _guarded(self.process, evaluation.raw, state)
        branches: dict[str, State] = {}
        for name, m in evaluation.branches.items():
            branches[name], state = _guarded(self.process, m, state)
        return replace(evaluation, raw=raw, branches=branches), state

    def _plain(self, state: RunState) -> tuple[Evaluation, RunState]:
        asked = self._asked(state)
        due = {name: self._due(state, name, branch) for name, branch in asked.items()}
        fresh, state = self._fresh(state, asked, due)
        return self._evaluation(fresh, asked, due, state)

    def ask(self, state: RunState, x: State, t: State, rows: Tensor) -> tuple[State, RunState]:
        """Evaluate at other points, each under the condition of one sample of the run.

        Parameters
        ----------
        state
            The run, for its ledger.
        x, t
            Points and their times per site, ``rows`` first.
        rows
            Number of the sample that each point belongs to, shape ``(points,)``.

        Returns
        -------
        m, state
            Predictions of the kind of the process, and the state with the calls booked to the samples.
        """
        m = self._call(x, t, take_condition(self.condition, rows))
        return m, state.book(torch.bincount(rows.to(state.calls.device), minlength=len(state)))

    def at(self, state: RunState, x: Tensor, t: Tensor | float) -> tuple[Tensor, RunState]:
        """Evaluate at several points for every sample.

        Parameters
        ----------
        state
            The run, for its ledger.
        x
            Points, shape ``(draws, batch, *event)``.
        t
            Time; broadcasts against ``x``.

        Returns
        -------
        m, state
            As for `ask`, in the shape of ``x``.
        """
        draws, batch = x.shape[:2]
        flat = x.reshape(draws * batch, *x.shape[2:])
        time = torch.as_tensor(t, dtype=torch.float64, device=x.device).expand(x.shape).reshape(flat.shape)
        m, state = self.ask(state, flat, time, torch.arange(batch).repeat(draws))
        return m.reshape(x.shape), state

    def _asked(self, state: RunState) -> dict[str, Branch]:
        asked = {MAIN: Branch(self.condition)}
        for transform in self.transforms:
            for name, branch in transform.branches(state).items():
                if name in asked:
                    raise ConfigError(f"two transforms ask for a branch '{name}'; give one of them another name")
                asked[name] = branch
        return asked

    def _due(self, state: RunState, name: str, branch: Branch) -> Tensor | None:
        """Samples to evaluate; None means all."""
        if self.policy is None:
            return branch.due
        due = self.policy.due(state, name)
        return due if branch.due is None else due & branch.due.to(due.device)

    def _call(self, x: State, t: State, condition: Any) -> State:
        return self.process.convert(self.denoiser(x, t, condition), self.denoiser.kind, x, t)

    def _fresh(
        self, state: RunState, asked: Mapping[str, Branch], due: Mapping[str, Tensor | None]
    ) -> tuple[dict[str, State], RunState]:
        """Predictions of the due rows of every branch, one batch where the conditions allow it."""
        index = {name: None if mask is None else torch.nonzero(mask)[:, 0] for name, mask in due.items()}
        for mask in due.values():
            state = state.book(1 if mask is None else mask.to(state.calls))
        names = [name for name, rows in index.items() if rows is None or len(rows)]
        conditions = {name: _rows(asked[name].condition, index[name]) for name in names}
        parts = {name: (_rows(state.x, index[name]), _rows(state.t, index[name])) for name in names}
        together, joined = join_conditions(list(conditions.values())) if len(names) > 1 else (None, False)
        if not joined:
            return {name: self._call(*parts[name], conditions[name]) for name in names}, state
        x, t = (_cat([parts[name][k] for name in names]) for k in (0, 1))
        sizes = [len(state) if index[name] is None else len(index[name]) for name in names]
        return dict(zip(names, _split(self._call(x, t, together), sizes), strict=True)), state

    def _evaluation(
        self,
        fresh: Mapping[str, State],
        asked: Mapping[str, Branch],
        due: Mapping[str, Tensor | None],
        state: RunState,
    ) -> tuple[Evaluation, RunState]:
        """Fill the rows that were not evaluated, by the policy or, where a branch is not wanted, by the main one."""
        filled: dict[str, State] = {}
        for name, mask in due.items():
            if mask is None:
                filled[name] = fresh[name]
            else:
                missing = filled.get(MAIN) if self.policy is None else self.policy.predict(state, name)
                wanted = asked[name].due
                if self.policy is not None and wanted is not None:
                    missing = state_map(partial(_put, ~wanted), missing, filled[MAIN])
                filled[name] = _fill(missing, mask, fresh.get(name))
            if self.policy is not None:
                every = torch.ones(len(state), dtype=torch.bool) if mask is None else mask
                state = self.policy.keep(state, name, filled[name], every)
        raw = filled.pop(MAIN)
        return Evaluation(self, raw, filled), state

    def _with_graph(self, state: RunState) -> tuple[Evaluation, RunState]:
        if not isinstance(state.x, Tensor) or not state.x.is_floating_point():
            raise ConfigError("a transform needs a gradient, but the state is not one real tensor; use one without")
        with torch.enable_grad():
            x = state.x.detach().requires_grad_()
            m = self._call(x, state.t, self.condition)
        asked = self._asked(state)
        asked.pop(MAIN)
        due = {name: branch.due for name, branch in asked.items()}
        fresh, state = self._fresh(state, asked, due) if asked else ({}, state)
        state = state.book(1)
        raw = m.detach()
        others = {name: part if due[name] is None else _fill(raw, due[name], part) for name, part in fresh.items()}
        return Evaluation(self, raw, {**dict.fromkeys(asked, raw), **others}, (x, m)), state


def _guarded(process: Process | ProductProcess, m: State, state: RunState) -> tuple[State, RunState]:
    """Let samples with a prediction that is no law of a finite set go on without one, and mark them.

    Real states show what is not finite themselves; a class cannot.
    """
    if isinstance(process, ProductProcess):
        parts = dict(m)
        for key, factor in process.factors.items():
            if factor.kind is Kind.LOGITS:
                parts[key], state = _possible(factor, m[key], state.x[key], state.t[key], state)
        return parts, state
    return _possible(process, m, state.x, state.t, state) if process.kind is Kind.LOGITS else (m, state)


def _possible(process: Process, m: Tensor, x: Tensor, t: Tensor, state: RunState) -> tuple[Tensor, RunState]:
    """Classes that are possible at equal weights where a sample has NaN, and its mark, which stays."""
    bad = m.isnan().flatten(1).any(1)
    if bool(bad.any()):
        rows = torch.nonzero(bad)[:, 0]
        m = m.index_copy(0, rows, process.convert(torch.zeros_like(m[rows]), Kind.LOGITS, x[rows], t[rows]).to(m))
    return m, state.record(FAILED, state.records.get(FAILED, torch.zeros_like(bad)) | bad)


def _rows(part: Any, index: Tensor | None) -> Any:
    return part if index is None else take_condition(part, index)


def _cat(parts: Sequence[State]) -> State:
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    return {key: torch.cat([part[key] for part in parts]) for key in first}


def _split(m: State, sizes: Sequence[int]) -> list[State]:
    if isinstance(m, Tensor):
        return list(m.split(list(sizes)))
    parts = {key: value.split(list(sizes)) for key, value in m.items()}
    return [{key: value[k] for key, value in parts.items()} for k in range(len(sizes))]


def _fill(missing: State | None, due: Tensor, fresh: State | None) -> State:
    """Rows of `missing`, with the due ones replaced by `fresh`, which holds only those."""
    if missing is None:
        raise ConfigError("the main branch was skipped without a policy; only further branches may have due rows")
    if fresh is None:
        return missing

    def put(old: Tensor, new: Tensor) -> Tensor:
        out = old.to(new.dtype).clone()
        out[due.to(old.device)] = new
        return out

    return state_map(put, missing, fresh)


def _put(where: Tensor, old: Tensor, new: Tensor) -> Tensor:
    return torch.where(where.reshape(-1, *(1,) * (old.ndim - 1)).to(old.device), new, old.to(new.dtype))
