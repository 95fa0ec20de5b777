"""Classifier two-sample test: can a classifier tell draws from truths?

Truths carry label 1, draws label 0, and the statistic is the accuracy on rows that the classifier has not seen, over
all folds of a cross-validation [1]_. Folds share training data, so that the number of hits is not binomial; its law
under equal laws is found by permuting the labels and training again, which is exact for any classifier: folds are
drawn without a look at the labels.

Draws given data are tested *jointly* with them: ``(theta, y)`` against ``(draw, y)``. Both have the same ``y``, so
only a swap of the labels within a pair leaves the null law as it is, and both rows of a pair lie in one fold. Draws
of the prior, which pass every test of ``theta`` alone, fail this one.

A classifier is a function of training rows and labels that returns a function of rows, positive for label 1.
`quadratic_logistic` sees means, variances and correlations; `mlp` sees more and takes a thousand times as long.

References
----------
.. [1] D. Lopez-Paz, M. Oquab, "Revisiting classifier two-sample tests", arXiv:1610.06545
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.special import expit

from scidiff.analysis.calibration.pairs import Array, as_array, check_confidence
from scidiff.errors import ConfigError, DataError, ShapeError

__all__ = ["C2ST", "Classifier", "c2st", "mlp", "quadratic_logistic"]

Classifier = Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]

_NEWTON = 8
_ROUND_OFF = 1e-9


@dataclass(frozen=True, eq=False)
class C2ST:
    """Accuracy of the classifier, and of one that has nothing to find.

    Parameters
    ----------
    accuracy
        Part of the held-out rows that were told right; 1/2 where the laws are equal.
    low, high
        Central interval of the accuracy under equal laws.
    chance
        Probability of an accuracy at least as high under equal laws, one-sided.
    null
        Accuracies after permutations, shape ``(permutations,)``.
    confidence
        Confidence of interval and verdict.
    """

    accuracy: float
    low: float
    high: float
    chance: float
    null: np.ndarray
    confidence: float

    @property
    def agrees(self) -> bool:
        """Whether the classifier is no better than one without anything to find."""
        return self.chance > 1 - self.confidence + _ROUND_OFF


def c2st(
    first: Array,
    second: Array,
    *,
    seed: int,
    paired: bool = False,
    classifier: Classifier | None = None,
    folds: int = 5,
    permutations: int = 100,
    confidence: float = 0.95,
) -> C2ST:
    """Test whether two sets of rows have one law [1]_.

    Parameters
    ----------
    first, second
        Rows, shape ``(count, dim)`` each, equally many.
    seed
        Seed of folds and permutations.
    paired
        Whether rows of equal index belong together: they share their data.
    classifier
        What is trained; `quadratic_logistic` by default.
    folds
        Number of parts of the cross-validation.
    permutations
        Number of permuted trainings; the least chance that can be found is ``1 / (permutations + 1)``.
    confidence
        Probability that equal laws agree.

    References
    ----------
    .. [1] Lopez-Paz, Oquab, arXiv:1610.06545
    """
    check_confidence(confidence)
    a, b = as_array(first), as_array(second)
    if a.ndim != 2 or a.shape != b.shape or not 2 <= folds <= len(a):
        raise ShapeError(
            f"rows have shapes {a.shape} and {b.shape}, with {folds} folds; expected two equal shapes (count, dim) and "
            "2 to count folds"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("a row holds a value that is not finite; leave such rows out and say how many")
    if (permutations + 1) * (1 - confidence) < 1 - _ROUND_OFF:
        raise ConfigError(
            f"{permutations} permutations cannot reject at a confidence of {confidence}; take 1 / (1 - confidence)"
        )
    rng = np.random.default_rng(seed)
    scale = np.concatenate([a, b]).std(0)
    x = np.concatenate([a, b]) / np.where(scale > 0, scale, 1.0)
    fold = rng.permutation(np.arange(len(a) if paired else len(x)) % folds)
    fold = np.concatenate([fold, fold]) if paired else fold
    label = np.repeat([1.0, 0.0], len(a))
    train = quadratic_logistic if classifier is None else classifier
    accuracy = _accuracy(x, label, fold, train)
    null = np.array([_accuracy(x, _permute(label, paired, rng), fold, train) for _ in range(permutations)])
    chance = (1 + int((null >= accuracy - 1e-12).sum())) / (1 + permutations)
    low, high = np.quantile(null, [0.5 * (1 - confidence), 0.5 * (1 + confidence)])
    return C2ST(accuracy, float(low), float(high), chance, null, confidence)


def _permute(label: np.ndarray, paired: bool, rng: np.random.Generator) -> np.ndarray:
    if not paired:
        return rng.permutation(label)
    swap = rng.integers(0, 2, len(label) // 2).astype(np.float64)
    return np.concatenate([swap, 1 - swap])


def _accuracy(x: np.ndarray, label: np.ndarray, fold: np.ndarray, train: Classifier) -> float:
    hits = 0
    for part in range(int(fold.max()) + 1):
        held = fold == part
        score = train(x[~held], label[~held])(x[held])
        hits += int(((score > 0) == (label[held] > 0.5)).sum())
    return hits / len(x)


def quadratic_logistic(x: np.ndarray, label: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Train a logistic regression on all monomials of degree up to two, by Newton's method with a ridge of 1.

    Parameters
    ----------
    x, label
        Rows of unit scale, shape ``(count, dim)``, and their labels, 0 or 1.
    """
    centre = x.mean(0)
    upper = np.triu_indices(x.shape[1])

    def features(rows: np.ndarray) -> np.ndarray:
        z = rows - centre
        return np.concatenate([np.ones((len(z), 1)), z, z[:, upper[0]] * z[:, upper[1]]], axis=1)

    f = features(x)
    w = np.zeros(f.shape[1])
    for _ in range(_NEWTON):
        p = expit(f @ w)
        hessian = (f * (p * (1 - p))[:, None]).T @ f + np.eye(len(w))
        w = w + np.linalg.solve(hessian, f.T @ (label - p) - w)
    return lambda rows: features(rows) @ w


def mlp(hidden: int = 32, epochs: int = 200, rate: float = 0.01, decay: float = 1e-3, seed: int = 0) -> Classifier:
    """Make a classifier with two hidden layers, trained on all rows at once by Adam.

    Parameters
    ----------
    hidden
        Width of the layers.
    epochs
        Number of steps.
    rate, decay
        Learning rate and weight decay.
    seed
        Seed of the first weights.
    """

    def train(x: np.ndarray, label: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        generator = torch.Generator().manual_seed(seed)
        sizes = [x.shape[1], hidden, hidden, 1]
        layers = [torch.nn.Linear(a, b, dtype=torch.float64) for a, b in pairwise(sizes)]
        with torch.no_grad():
            for layer in layers:
                bound = layer.in_features**-0.5
                for p in layer.parameters():
                    p.uniform_(-bound, bound, generator=generator)
        net = torch.nn.Sequential(layers[0], torch.nn.SiLU(), layers[1], torch.nn.SiLU(), layers[2])
        adam = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=decay)
        rows, target = torch.from_numpy(x), torch.from_numpy(label)
        with torch.enable_grad():
            for _ in range(epochs):
                loss = torch.nn.functional.binary_cross_entropy_with_logits(net(rows)[:, 0], target)
                adam.zero_grad()
                loss.backward()
                adam.step()
        net.requires_grad_(False)
        return lambda new: net(torch.from_numpy(new))[:, 0].numpy()

    return train
