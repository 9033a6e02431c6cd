"""Rounding by loss and bias correction in the integers that ship."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from quaver.errors import UsageError
from quaver.lab import api
from quaver.lab.analyse.closed_loop import AnalysisError
from quaver.lab.lower.biases import computed, correct_biases, correct_means, known, watched
from quaver.lab.lower.model import calibrate, layer_inputs, lower
from quaver.lab.lower.refine import Refinement
from quaver.lab.lower.rounding import codes_of, learned_codes, round_by_loss
from quaver.lab.lower.sequence_loss import SequenceLoss, apart, coding
from quaver.lab.models.codec import Codec
from quaver.lab.models.layers import Conv
from quaver.lab.models.precision import fit, shape_for
from quaver.lab.models.sites import Site
from quaver.lab.models.weights import set_integer, weights_hash
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.quant.rounding import SoftRounding
from quaver.lab.train.objective import Sequence, code_sequence

from ..analyse.toy import tiny_codec, toy_clips
from ..random_plans import STAGE, random_codec, random_plan
from ..test_integer_path import moving, sequence

SEQUENCES = [sequence(moving(3, seed), quality) for seed, quality in enumerate((20, 45))]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def pair(codec: Codec, plan: QuantPlan) -> tuple[Codec, Codec]:
    """(in integers, in floating point)"""
    whole = copy.deepcopy(codec)
    fit(whole, shape_for(whole, plan), layer_inputs(codec, SEQUENCES, STAGE))
    return whole, codec


def w3a5(codec: Codec) -> QuantPlan:
    return QuantPlan.uniform(list(wiring(codec)), 3, 5)


def test_means_are_those_of_floating_point() -> None:
    codec, floating = pair(tiny_codec(), w3a5(tiny_codec()))
    before, frames = weights_hash(floating), known(floating, SEQUENCES)
    errors: list[dict[str, float]] = []
    set_integer(codec, True)
    for _ in range(2):
        found: dict[str, float] = {}

        def note(name: str, conv: Conv, x: torch.Tensor, source: Site, target: Site, found: dict = found) -> None:
            found[name] = float((computed(conv, x, source, target) - frames.means[name]).abs().mean())

        with torch.no_grad(), coding(codec), watched(codec, note):
            codec.code_intra(frames.first, frames.first_quality)
            codec.code_inter(frames.later, frames.past, frames.quality)
        errors.append(found)
        correct_means(codec, frames)
    assert errors[0].keys() == frames.means.keys() and not any("estimator" in name for name in frames.means)
    # What is left is the rounding of biases to whole accumulators, and of what they move.
    assert sum(errors[1].values()) < 0.1 * sum(errors[0].values())
    assert weights_hash(floating) == before and not any(conv._forward_pre_hooks for conv in codec.modules())


def test_biases_stay_where_the_loss_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, floating = pair(tiny_codec(), w3a5(tiny_codec()))
    loss, start = SequenceLoss(floating, SEQUENCES), weights_hash(codec)
    done = correct_biases(codec, floating, SEQUENCES, loss)
    assert done.after <= done.before and loss(codec) == done.after
    assert (done.strength > 0) == (done.after < done.before) == (weights_hash(codec) != start)
    # Biases that are wrong on purpose are not kept.
    codec, _ = pair(tiny_codec(), w3a5(tiny_codec()))

    def spoil(codec: Codec, _: object) -> None:
        for conv in codec.modules():
            if isinstance(conv, Conv):
                conv.bias.data += 1

    monkeypatch.setattr("quaver.lab.lower.biases.correct_means", spoil)
    done = correct_biases(codec, floating, SEQUENCES, loss)
    assert (done.strength, done.after) == (0, done.before) and weights_hash(codec) == start


def test_what_costs_nothing_does_not_count() -> None:
    """A crop of one colour beside one that moves; alone it has nothing to say."""
    codec, floating = pair(tiny_codec(), w3a5(tiny_codec()))
    moves = SEQUENCES[0]
    flat = Sequence(*(torch.full_like(plane, 128) for plane in (moves.y, moves.u, moves.v)), moves.quality)
    both = [moves, flat]
    with torch.no_grad(), coding(floating):
        set_integer(floating, False)
        rates = [float(sum(bits for _, bits in code_sequence(floating, each))) for each in both]
    assert rates[0] > 0 and rates[1] == 0
    loss = SequenceLoss(floating, both)
    assert loss(codec) == SequenceLoss(floating, [moves])(codec)
    assert all(bool(torch.isfinite(loss.surrogate(codec, step))) for step in range(4))
    with pytest.raises(AnalysisError, match="cost no bits"):
        SequenceLoss(floating, [flat])


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_codes_are_those_that_were_learned(seed: int | None) -> None:
    """Bit for bit, on any plan's grids; never further than a neighbour."""
    codec = tiny_codec() if seed is None else random_codec(seed)
    codec, floating = pair(codec, w3a5(codec) if seed is None else random_plan(codec, seed))
    loss, wires, before = SequenceLoss(floating, SEQUENCES), wiring(codec), weights_hash(codec)
    nearest = {name: codes_of(wire) for name, wire in wires.items()}
    codes = learned_codes(codec, wires, loss, 3, 0.1)
    assert weights_hash(codec) == before and all(p.requires_grad and p.grad is None for p in codec.parameters())
    for name, wire in wires.items():
        # A weight that rounds to another code than the nearest, in a channel that has codes at all.
        codes[name] = torch.minimum((codes[name] + 1), wire.conv.weight_limit[:, None, None, None])
        step = wire.conv.grid(wire.grid, wire.target).step
        wire.conv.take_codes(codes[name], wire.grid, wire.target)
        assert torch.equal(codes_of(wire), codes[name]), name
        again = wire.conv.grid(wire.grid, wire.target).step
        torch.testing.assert_close(again, step, rtol=1e-5, atol=0)
    assert any(not torch.equal(codes[name], nearest[name]) for name in codes)


def test_rounding_by_loss() -> None:
    codec, floating = pair(tiny_codec(), w3a5(tiny_codec()))
    loss, start = SequenceLoss(floating, SEQUENCES), copy.deepcopy(codec)
    done = round_by_loss(codec, loss, loss, 12)
    assert done.after <= done.before and loss(codec) == done.after
    for (name, now), before in zip(wiring(codec).items(), wiring(start).values(), strict=True):
        if not done.kept or name.startswith("motion.estimator."):
            assert torch.equal(now.conv.weight, before.conv.weight)
        assert now.conv.given is None and (codes_of(now) - codes_of(before)).abs().max() <= 1


def test_what_is_worse_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, floating = pair(tiny_codec(), w3a5(tiny_codec()))
    loss, start = SequenceLoss(floating, SEQUENCES), weights_hash(codec)
    monkeypatch.setattr(SoftRounding, "codes", lambda self: -self.floor.clamp(-self.high, self.high))
    done = round_by_loss(codec, loss, loss, 1)
    assert not done.kept and done.changed == 0 and weights_hash(codec) == start


def test_what_judges_was_not_learned_from() -> None:
    one = SEQUENCES[0]
    many = Sequence(*(plane.expand(6, *plane.shape[1:]) for plane in (one.y, one.u, one.v)), torch.arange(6))
    learn, judge = apart([many, one])
    assert [each.quality.tolist() for each in (*learn, *judge)] == [[0, 1, 2, 3, 4], [20], [5], [20]]
    assert learn[0].y.shape[0] == 5 and torch.equal(judge[1].u, one.u)


def test_refining_again_gives_the_same() -> None:
    codec = random_codec(0)
    plan, whole = random_plan(codec, 0), copy.deepcopy(codec)
    done = calibrate(whole, SEQUENCES, STAGE, plan, Refinement("loss", True, 2))
    assert done is not None and "rounding by loss" in str(done) and "biases: zeta" in str(done)
    same = copy.deepcopy(codec)
    assert calibrate(same, SEQUENCES, STAGE, plan, Refinement("loss", True, 2)) == done
    assert weights_hash(same) == weights_hash(whole)
    lower(whole, "refined")


def test_from_python() -> None:
    codec, clips = tiny_codec(), toy_clips(2, 3, 48)
    plan, before = w3a5(codec), weights_hash(codec)
    plain, refined = (api.quantize(codec, plan, clips, bias_correction=on) for on in (False, True))
    assert {key: [c.weight.tobytes() for c in graph.convolutions()] for key, graph in plain.graphs.items()} == {
        key: [c.weight.tobytes() for c in graph.convolutions()] for key, graph in refined.graphs.items()
    }
    with api.quantized(codec, plan, clips, bias_correction=True):
        curves = api.code(codec, clips)
    assert np.isfinite(curves.rate).all() and weights_hash(codec) == before and codec.plan is None
    for wrong, said in (
        ({"observer": "loss"}, "is for simulation"),
        ({"rounding": "up"}, "legal"),
        ({"steps": 0}, "0 steps"),
    ):
        with pytest.raises(UsageError, match=said):
            api.quantize(codec, plan, clips, **wrong)
    with pytest.raises(UsageError, match="clips of one frame"):
        api.quantize(codec, plan, toy_clips(2, 1, 48), bias_correction=True)
