"""The noise is Philox-4x64-10 with key (seed, sample) and counter (block, stream, step, 0), and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from scidiff.errors import ConfigError
from scidiff.field_noise import FieldNoise
from scidiff.random import Noise, SharedNoise, stream_id

WORD = 2**64 - 1
PLAIN = Noise.range(3, 1).bits((4,), step=0, stream="a")


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Ten rounds of Philox-4x64 on Python integers, from the definition in doi:10.1145/2063384.2063405."""
    c, k = list(counter), list(key)
    for _ in range(10):
        low, high = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [(high >> 64) ^ c[1] ^ k[0], high & WORD, (low >> 64) ^ c[3] ^ k[1], low & WORD]
        k = [(k[0] + 0x9E3779B97F4A7C15) & WORD, (k[1] + 0xBB67AE8584CAA73B) & WORD]
    return c


def test_the_reference_itself_gives_the_published_vector():
    """Known-answer vector of the Random123 library for an all-zero counter and key."""
    published = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox([0] * 4, [0] * 2) == published


@given(
    seed=st.integers(0, WORD),
    sample=st.integers(0, WORD),
    step=st.integers(0, 2**40),
    stream=st.text(max_size=8),
    scope=st.sampled_from(["", "/atoms"]),
)
def test_bits_are_philox(seed, sample, step, stream, scope):
    bits = Noise(seed, np.array([sample], dtype=np.uint64), scope).bits((9,), step=step, stream=stream)
    blocks = [philox([block, stream_id(stream + scope), step, 0], [seed, sample]) for block in (1, 2, 3)]
    assert bits[0].tolist() == [word for block in blocks for word in block][:9]


def test_a_longer_event_begins_with_the_shorter_one():
    noise = Noise.range(3, 4)
    long = noise.normal((30, 20), step=2, stream="a").flatten(1)
    for size in (1, 4, 13, 512, 513):
        assert torch.equal(noise.normal((size,), step=2, stream="a"), long[:, :size])


def test_the_batch_may_be_cut_and_ordered_at_will():
    whole = Noise.range(11, 9, first=5)
    draws = whole.normal((3,), step=1, stream="a")
    cut = Noise.cat([Noise.range(11, 4, first=5), Noise.range(11, 5, first=9)])
    assert torch.equal(cut.normal((3,), step=1, stream="a"), draws)
    order = [8, 0, 3, 3]
    assert torch.equal(whole.take(order).normal((3,), step=1, stream="a"), draws[order])
    mask = np.arange(9) % 2 == 0
    assert torch.equal(whole.take(mask).normal((3,), step=1, stream="a"), draws[mask])


def test_seed_sample_step_and_stream_all_matter():
    base = Noise.range(0, 2)
    draw = base.uniform((4,), step=0, stream="a")
    others = [
        Noise.range(1, 2).uniform((4,), step=0, stream="a"),
        Noise.range(0, 2, first=2).uniform((4,), step=0, stream="a"),
        base.uniform((4,), step=1, stream="a"),
        base.uniform((4,), step=0, stream="b"),
        base.scoped("x").uniform((4,), step=0, stream="a"),
    ]
    assert all(not bool((draw == other).any()) for other in others)
    assert torch.equal(base.scoped("x").uniform((4,), step=0, stream="a"), base.uniform((4,), step=0, stream="a/x"))


def test_draws_follow_their_law():
    """Kolmogorov distance below the Dvoretzky-Kiefer-Wolfowitz bound, exceeded with probability 1e-9 by chance."""
    noise = Noise.range(2, 200)
    count = 200 * 250
    bound = math.sqrt(math.log(2 / 1e-9) / (2 * count))
    uniform = noise.uniform((250,), step=0, stream="u").flatten().sort().values.numpy()
    normal = np.sort(ndtr(noise.normal((250,), step=0, stream="n").flatten().numpy()))
    ranks = np.arange(count + 1) / count
    for sample in (uniform, normal):
        assert max(np.max(ranks[1:] - sample), np.max(sample - ranks[:-1])) < bound
        assert max(np.max(ranks[1:] - sample**1.05), np.max(sample**1.05 - ranks[:-1])) > bound


def test_uniforms_stay_inside():
    """The two extreme words give the two extreme values, none of them 0 or 1."""
    ends = ((np.array([0, WORD], dtype=np.uint64) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    assert 0 < ends[0] and ends[1] <= 1 - 2.0**-54
    draws = Noise.range(0, 50).uniform((200,), step=0, stream="u")
    assert draws.dtype == torch.float64 and 0 < float(draws.min()) and float(draws.max()) < 1


def test_fold_makes_copies_distinct_and_keeps_the_cut_free():
    noise = Noise.range(0, 3).take([0, 0, 0, 2, 2])
    folded = noise.fold(7)
    assert len(set(folded.samples.tolist())) == 5
    assert not set(folded.samples.tolist()) & set(noise.fold(8).samples.tolist())
    assert folded.take([1, 3]).samples.tolist() == folded.samples[[1, 3]].tolist()
    assert noise.take([3, 4]).fold(7).samples.tolist() == folded.samples[3:].tolist()


def test_scope_survives():
    noise = Noise.range(0, 3).scoped("a")
    assert {noise.take([0]).scope, noise.fold(1).scope, Noise.cat([noise, noise]).scope} == {"/a"}
    with pytest.raises(ConfigError, match="one run"):
        Noise.cat([noise, Noise.range(0, 1)])
    with pytest.raises(ConfigError, match="one run"):
        Noise.cat([Noise.range(0, 1), Noise.range(1, 1)])


def test_windows_of_a_field_are_joined_where_they_are_the_same():
    field = FieldNoise.of(0, 2)
    whole = Noise.cat([field.take([0]), field.take([1])])
    assert bool((whole.normal((2, 2), step=0, stream="a") == field.normal((2, 2), step=0, stream="a")).all())
    for other in (field.window((64, 0)), FieldNoise.of(0, 2, period=(64, 64)), Noise.range(0, 2)):
        with pytest.raises(ConfigError, match="one run"):
            Noise.cat([field, other])


def test_a_seed_of_numpy_is_the_integer_that_it_is():
    assert type(Noise.range(np.int64(3), 1).seed) is int
    assert bool((Noise.range(np.int64(3), 1).bits((4,), step=0, stream="a") == PLAIN).all())


@pytest.mark.parametrize("seed", [-1, 2**64, 0.5, 1.0, "1", None])
def test_a_seed_outside_is_refused(seed):
    with pytest.raises(ConfigError, match="seed"):
        Noise.range(seed, 1)


def test_an_empty_draw():
    assert Noise.range(0, 0).normal((3,), step=0, stream="a").shape == (0, 3)
    assert Noise.range(0, 2).normal((0,), step=0, stream="a").shape == (2, 0)


def test_shared_noise_has_the_same_face():
    shared = SharedNoise(torch.Generator().manual_seed(1), 40)
    assert len(shared) == 40
    u, z = shared.uniform((500,), step=3, stream="x"), shared.normal((500,))
    assert u.dtype == z.dtype == torch.float64
    assert 0 < float(u.min()) and float(u.max()) < 1
    # five standard errors of the mean of 20 000 draws
    assert abs(float(u.mean()) - 0.5) < 5 / math.sqrt(12 * 20_000)
    assert abs(float(z.mean())) < 5 / math.sqrt(20_000)
