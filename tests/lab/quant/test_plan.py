"""Plans: what they refuse, and that files and edits keep them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaver.errors import UsageError
from quaver.lab.quant.plan import FLOAT, LayerPlan, QuantPlan

bits = st.one_of(st.none(), st.integers(2, 16))
channels = st.lists(st.sampled_from([0, 2, 4, 7]), min_size=1, max_size=6).filter(any)
layers = st.builds(LayerPlan, bits, bits, affine=st.booleans()) | channels.map(lambda c: LayerPlan(max(c), 8, tuple(c)))
plans = st.dictionaries(st.from_regex(r"[a-z]{1,5}(\.[0-9])?(@inter)?", fullmatch=True), layers, max_size=6)


@given(plans)
def test_json_restores_a_plan(chosen: dict[str, LayerPlan]) -> None:
    plan = QuantPlan(chosen, "p", "abc", "test", {"bytes": 1.0})
    again = QuantPlan.from_json(plan.to_json())
    assert again == plan and again.hash == plan.hash


def test_fitted_zero_points_are_named_where_there_are_any() -> None:
    plan = QuantPlan.uniform(["a", "b"])
    assert "affine" not in plan.to_json() and plan.hash == "70d6621084dcfe1a"
    fitted = plan.with_layers({**plan.layers, "a": LayerPlan(7, 8, affine=True)})
    assert fitted.hash != plan.hash and fitted.with_bits("a", a=5).layer("a") == LayerPlan(7, 5, affine=True)
    assert fitted.diff(plan) == {"a": ("W7A8z", "W7A8")}


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight_bits": 1},
        {"activation_bits": 17},
        {"weight_bits": 4, "channel_bits": (2, 2)},
        {"weight_bits": 4, "channel_bits": (4, 1)},
        {"groups": (0, 2)},
    ],
)
def test_illegal_layers_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        LayerPlan(**wrong)  # type: ignore[arg-type]


def test_editing_and_comparing() -> None:
    plan = QuantPlan.uniform(["a.enter", "a.leave", "b"])
    other = plan.with_bits("a.*", w=4)
    assert other.diff(plan) == {"a.enter": ("W4A8", "W7A8"), "a.leave": ("W4A8", "W7A8")}
    assert other.hash != plan.hash and plan.layer("b@inter") == LayerPlan(7, 8) and plan.layer("c") is FLOAT
    with pytest.raises(UsageError, match="layers begin with a, b"):
        plan.with_bits("c.*", w=4)


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', '{"version": 9, "layers": {}}'])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(UsageError, match=r"plan\.json"):
        QuantPlan.load(tmp_path / "plan.json")
