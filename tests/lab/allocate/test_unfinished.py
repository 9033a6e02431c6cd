"""Searches that are interrupted go on, to the same plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lab.analyse.toy import ToyAdapter, toy_clips
from quaver.lab.allocate.joint import JointSearch
from quaver.lab.allocate.search import KEEP_EVERY, Search, SearchConfig, Step
from quaver.lab.allocate.search_command import Searcher
from quaver.lab.allocate.unfinished import Unfinished
from quaver.lab.costs.workload import Workload
from quaver.lab.manifest import digest
from quaver.lab.models.untrained import random_codec
from quaver.lab.quant.plan import QuantPlan

from .samples import PRESET
from .test_search import toy_layers


class Interrupted(Exception):
    """Stands for Ctrl-C."""


def until(last: int) -> tuple[list[Step], Callable[[Step], None]]:
    """Steps as they are shown, and what shows them until it is interrupted after `last`."""
    seen: list[Step] = []

    def show(step: Step) -> None:
        seen.append(step)
        if step.number == last:
            raise Interrupted

    return seen, show


@pytest.mark.parametrize("kind", [Search, JointSearch])
def test_a_search_goes_on_to_the_same_bits(kind: type[Search], tmp_path: Path) -> None:
    torch.set_num_threads(1)
    config = SearchConfig(steps=2 * KEEP_EVERY + 3, batch=2, rate=0.3, cost_price=0.5, group_price=0.1)
    clips = toy_clips()

    def search() -> Search:
        return kind(ToyAdapter(), clips, toy_layers(), config)

    whole, show = until(0)
    plans = search().run(show)
    state = Unfinished(tmp_path / "plan.json", "key")
    for last, first in ((KEEP_EVERY + 4, 1), (2 * KEEP_EVERY, KEEP_EVERY + 1)):
        seen, show = until(last)
        with pytest.raises(Interrupted):
            search().run(show, state)
        assert seen == whole[first - 1 : last]  # what is done again too, to the last bit
        torch.manual_seed(last)  # another process
    seen, show = until(0)
    again = search()
    assert again.run(show, state) == plans
    assert seen == whole[2 * KEEP_EVERY :]


class ToySearcher(Searcher):
    """Of a codec that is quick to search."""

    def plan(
        self,
        config: SearchConfig,
        budgets: Sequence[str] = (),
        name: str = "search",
        show: Callable[[Step], None] = lambda step: None,
        state: Unfinished | None = None,
    ) -> QuantPlan:
        return QuantPlan(Search(ToyAdapter(), self.clips, toy_layers(), config).run(show, state), name)

    def note(self, config: SearchConfig, budgets: Sequence[str] = ()) -> dict[str, Any]:
        return {"hash": digest(asdict(config) | {"weight_bits": [], "activation_bits": []})}


def test_from_files(tmp_path: Path) -> None:
    """The state lies beside the plan until that is written; other settings begin anew, in one line."""
    torch.set_num_threads(1)
    searcher = ToySearcher(random_codec(PRESET, seed=0), toy_clips(), Workload())
    config = SearchConfig(steps=KEEP_EVERY + 2, rate=0.3)
    whole, show = until(0)
    plan = searcher.write(tmp_path / "whole.json", config, show=show)
    out, said = tmp_path / "own.json", list[str]()
    with pytest.raises(Interrupted):
        searcher.write(out, config, show=until(KEEP_EVERY + 1)[1])
    assert (tmp_path / "own.json.state").exists() and not out.exists()
    seen, show = until(1)
    with pytest.raises(Interrupted):
        searcher.write(out, replace(config, error_price=0.2), show=show, say=said.append)
    assert [step.number for step in seen] == [1] and len(said) == 1
    assert "own.json.state: of other settings" in said[0]

    seen, show = until(0)
    assert searcher.write(out, config, show=show, say=said.append).layers == plan.layers
    assert seen == whole[KEEP_EVERY:] and len(said) == 1
    assert {path.name for path in tmp_path.glob("own*")} == {"own.json", "own.manifest.json"}

    searcher.write(out, config, show=until(1)[1], say=said.append)
    assert said[1:] == [f"{out}: was searched before"]
    with pytest.raises(Interrupted):
        searcher.write(out, replace(config, seed=1), show=until(1)[1])


def test_what_is_no_state(tmp_path: Path) -> None:
    said: list[str] = []
    state = Unfinished(tmp_path / "x", "key", said.append)
    assert state.load() == {} and not said
    state.keep(step=3, values=[torch.ones(2)], text="a")
    found = state.load()
    assert found["step"] == 3 and torch.equal(found["values"][0], torch.ones(2)) and not said
    whole = state.path.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2]):
        state.path.write_bytes(content)
        assert state.load() == {} and "damaged; beginning anew" in said.pop()
    torch.save([1], state.path)
    assert state.load() == {} and "damaged" in said.pop()
    state.remove()
    assert not list(tmp_path.iterdir())
    state.remove()
