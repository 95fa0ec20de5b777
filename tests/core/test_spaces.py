"""Spaces: embeddings, distances, draws, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scidiff.errors import ConfigError, ShapeError
from scidiff.random import Noise
from scidiff.spaces import Categorical, Euclidean, Product, first, state_map
from scidiff.spaces.categorical import draw, one_hot_log

NOISE = Noise.range(0, 4)
X, Y = torch.randn(2, 4, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_euclidean_geometry():
    space = Euclidean((3, 2))
    assert torch.equal(space.phi(X, Y), Y)
    assert torch.allclose(space.exp(X, space.log(X, Y)), Y)
    assert torch.allclose(space.dist(X, Y) ** 2, space.inner(X, X - Y, X - Y))
    assert torch.equal(space.project(X), X)
    with pytest.raises(ConfigError, match="no uniform law"):
        space.uniform(NOISE, (3, 2), step=0, stream="u")


@pytest.mark.parametrize(("shape", "fits"), [((3, 2), True), ((None, 2), True), ((3,), False), ((3, 4), False)])
def test_shapes_are_checked(shape, fits):
    space = Euclidean(shape)
    if fits:
        space.check(X)
    else:
        with pytest.raises(ShapeError, match="expected"):
            space.check(X, "x")


def test_draw_is_the_inverse_of_the_cumulative_law():
    """A class is drawn exactly for the uniforms between the partial sums that enclose it."""
    log_probs = torch.tensor([0.0, 0.25, 0.0, 0.5, 0.25, 0.0], dtype=torch.float64).log()
    u = torch.tensor([1e-16, 0.1, 0.2499, 0.2501, 0.7499, 0.7501, 1 - 1e-16], dtype=torch.float64)
    assert draw(log_probs.expand(7, 6), u).tolist() == [1, 1, 1, 3, 3, 4, 4]
    # unnormalised logits give the same law
    assert draw(log_probs.expand(7, 6) + 3.0, u).tolist() == [1, 1, 1, 3, 3, 4, 4]


def test_a_rare_class_keeps_its_rate():
    """A class of probability 1e-12 takes exactly the uniforms above 1 - 1e-12; float32 would lose it."""
    p = 1e-12
    log_probs = torch.tensor([1 - p, p], dtype=torch.float64).log()
    u = torch.tensor([1 - 2 * p, 1 - p / 2], dtype=torch.float64)
    assert draw(log_probs.expand(2, 2), u).tolist() == [0, 1]


def test_categorical_points():
    space = Categorical(3, (2,))
    x, y = torch.tensor([[0, 2], [1, 1]]), torch.tensor([[0, 1], [2, 2]])
    assert space.dist(x, y).tolist() == [1, 2]
    assert torch.equal(space.phi(x, y).argmax(-1), y) and bool((space.phi(x, y).sum(-1) == 1).all())
    assert torch.equal(one_hot_log(y, 3).exp(), space.phi(x, y))
    assert space.project(x) is x
    space.check(x)
    for bad, says in ((x.float(), "dtype"), (x + 2, "values"), (x[:, 0], "shape")):
        with pytest.raises(ShapeError, match=says):
            space.check(bad)


def test_categorical_uniform_law():
    """Counts within five standard deviations of the binomial law."""
    count = 4 * 3000
    x = Categorical(3, (3000,)).uniform(NOISE, (3000,), step=0, stream="u")
    counts = np.bincount(x.flatten().numpy(), minlength=3)
    assert np.all(np.abs(counts - count / 3) < 5 * math.sqrt(count * 2 / 9))


def test_product_acts_factor_by_factor():
    space = Product({"x": Euclidean((3, 2)), "c": Categorical(3, (2,))})
    a = {"x": X, "c": torch.zeros(4, 2, dtype=torch.int64)}
    b = {"x": Y, "c": torch.ones(4, 2, dtype=torch.int64)}
    space.check(a)
    assert list(space) == ["x", "c"]
    assert torch.allclose(space.dist(a, b) ** 2, (X - Y).flatten(1).square().sum(1) + 4)
    assert set(space.phi(a, b)) == set(space.project(a)) == {"x", "c"}
    drawn = Product({"a": Categorical(5, (6,)), "b": Categorical(5, (6,))}).uniform(
        NOISE, {"a": (6,), "b": (6,)}, step=0, stream="u"
    )
    assert not torch.equal(drawn["a"], drawn["b"])
    with pytest.raises(ShapeError, match="factors"):
        space.check({"x": X})
    with pytest.raises(ShapeError, match="one shape per factor"):
        _ = space.shape


@pytest.mark.parametrize("factors", [{}, {"p": Product({"x": Euclidean((1,))})}])
def test_a_product_of_nothing_or_of_products_is_refused(factors):
    with pytest.raises(ConfigError, match="product"):
        Product(factors)


def test_state_map_treats_tensors_and_mappings_alike():
    assert state_map(lambda a, b: a + b, torch.ones(2), 1.0).tolist() == [2, 2]
    mapped = state_map(lambda a, b, c: a * b + c, {"x": 2, "y": 3}, {"x": 5, "y": 7}, 1)
    assert mapped == {"x": 11, "y": 22}
    assert first({"x": X, "y": Y}) is X and first(X) is X
