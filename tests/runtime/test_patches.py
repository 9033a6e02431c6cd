"""Patch bits: classes, rounding, and networks that leave patches out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quaver.codec.conformance import folder
from quaver.errors import ModelError
from quaver.runtime.executors.patches import PatchRunner, bands
from quaver.runtime.executors.select import EXECUTORS, executor
from quaver.runtime.executors.strips import StripRunner
from quaver.runtime.model import IntegerModel, load_model, read_model, save_model
from quaver.runtime.patches import (
    FEATURES,
    NETWORKS,
    PatchTable,
    patch_bits,
    patch_features,
    per_position,
    round_codes,
)

NONE: dict[str, tuple[int, ...]] = dict.fromkeys(FEATURES, ())


@pytest.fixture(scope="module")
def model() -> IntegerModel:
    return read_model(folder() / "model.qvm")


def table(thresholds: dict[str, tuple[int, ...]], seed: int = 0) -> PatchTable:
    thresholds = NONE | thresholds
    classes = int(np.prod([len(own) + 1 for own in thresholds.values()]))
    bits = np.random.default_rng(seed).choice(np.array([0, 2, 5, 8], np.uint8), (classes, 3))
    return PatchTable(thresholds, bits)


def test_rounding_is_to_the_nearest_multiple_around_the_zero_point() -> None:
    codes = np.arange(256, dtype=np.uint8)[None, None]
    for bits in range(9):
        got = round_codes(codes, np.full((1, 256), bits, np.uint8))[0, 0].tolist()
        step = 1 << (8 - bits)
        for code in range(256):
            wanted = min((2 * (code - 128) + step) // (2 * step) * step, 128 - step) + 128 if bits else 128
            assert got[code] == wanted, (bits, code)
        assert len(set(got)) == 1 << bits and got[128] == 128


@pytest.mark.parametrize("shape", [(2, 2), (4, 6), (6, 4), (10, 8)])
def test_features_are_sums_over_patches(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[0])
    rows, columns = shape
    past, predicted = rng.integers(0, 256, (2, 8 * rows, 8 * columns), np.uint8)
    vectors = rng.integers(-1023, 1024, (rows, columns, 2)).astype(np.int16)
    levels = rng.integers(0, 8, (2, rows // 2, columns // 2)).astype(np.int32)
    prediction = (predicted.astype(np.int32) << 4) + rng.integers(-8, 8, predicted.shape)
    prediction += 4096 * ((predicted == 255).astype(np.int32) - (predicted == 0))  # beyond the range of samples
    found = patch_features(past, prediction.astype(np.int32), vectors, levels)
    p, r = predicted.astype(int), past.astype(int)
    for i in range(-(-rows // 4)):
        for j in range(-(-columns // 4)):
            sums, blocks = dict.fromkeys(FEATURES, 0), 0
            for a in range(4 * i, min(4 * i + 4, rows)):
                for b in range(4 * j, min(4 * j + 4, columns)):
                    blocks += 1
                    sums["levels"] += int(levels[:, a // 2, b // 2].sum())
                    sums["motion"] += int(np.abs(vectors[a, b].astype(int)).sum())
                    for y in range(8 * a, 8 * a + 8):
                        for x in range(8 * b, 8 * b + 8):
                            sums["change"] += abs(p[y, x] - r[y, x])
                            sums["gradient"] += abs(p[y, x] - p[y, x - 1]) if x else 0
                            sums["gradient"] += abs(p[y, x] - p[y - 1, x]) if y else 0
            for feature in FEATURES:
                assert found[feature][i, j] == sums[feature] * 16 // blocks, (feature, i, j)


def test_classes_are_digits_in_the_order_of_features() -> None:
    own = PatchTable({"levels": (1, 10), "motion": (5,), "gradient": (), "change": (3,)}, np.zeros((12, 3), np.uint8))
    features = {"levels": [0, 1, 9, 10], "motion": [4, 5, 4, 5], "change": [3, 2, 2, 3]}
    classes = own.classify({name: np.array([values], np.int32) for name, values in features.items()})
    assert classes.tolist() == [[1, 6, 4, 11]]
    bits = patch_bits(
        table({}), np.zeros((16, 48), np.uint8), np.zeros((16, 48), np.int32), np.zeros((2, 6, 2), np.int16),
        np.zeros((2, 1, 3), np.int32),
    )  # fmt: skip
    assert bits.shape == (3, 1, 2)


@pytest.mark.parametrize("name", [*EXECUTORS, "strips"])
@pytest.mark.parametrize("network", NETWORKS)
def test_leaving_patches_out_changes_no_integer(model: IntegerModel, network: str, name: str) -> None:
    graph = model.graphs[network]
    runner = executor("onnx" if name == "strips" else name).prepare(graph)
    if name == "strips":
        runner = StripRunner(runner, graph, 2)
    rng = np.random.default_rng(5)
    side = 16 if network == "inter.loop" else 4
    for height, width in ((2, 2), (6, 14), (22, 10), (20, 36)):
        height, width = height * side // 4, width * side // 4
        for share in (0.0, 0.3, 0.8):
            patches = -(-height // side), -(-width // side)
            bits = np.where(rng.random(patches) < share, rng.integers(1, 9, patches), 0).astype(np.uint8)
            inputs = {
                port.name: rng.integers(0, 256, (port.channels, height, width), np.uint8) for port in graph.inputs
            }
            wide = per_position(bits, side, (height, width))
            whole = runner.run({key: round_codes(codes, wide) for key, codes in inputs.items()})
            got = PatchRunner(runner, graph, bits, side).run(inputs)
            for key, codes in whole.items():
                np.testing.assert_array_equal(got[key], np.where(wide > 0, codes, 128))


def test_bands_are_no_larger_than_the_map() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        patches = int(rng.integers(1, 9)), int(rng.integers(1, 9))
        shape = 4 * patches[0] - int(rng.choice([0, 2])), 4 * patches[1] - int(rng.choice([0, 2]))
        active = rng.random(patches) < rng.random()
        found = bands(active, 4, shape, 3)
        area = sum((band.last - band.first) * sum(part.stop - part.start for part in band.columns) for band in found)
        assert area <= shape[0] * shape[1]
        covered = np.zeros(shape, bool)
        for band in found:
            for part in band.columns:
                covered[band.top : band.bottom, part] = True
        assert covered[per_position(active, 4, shape)].all()


def test_a_model_keeps_its_table(model: IntegerModel, tmp_path: Path) -> None:
    own = replace(model, patches=table({"levels": (1,), "gradient": (100, 4000)}))
    assert (model.profile, own.profile) == (1, 2) and own.hash != model.hash
    save_model(own, tmp_path / "own.qvm")
    again = read_model(tmp_path / "own.qvm")
    assert again.hash == own.hash and again.patches is not None
    assert again.patches.thresholds == own.patches.thresholds
    text = again.patches.to_json()
    assert PatchTable.from_json(text).to_json() == text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"patches.bits": np.full((2, 3), 9, np.uint8)}, "9 bits"),
        ({"patches.bits": np.zeros((3, 3), np.uint8)}, "must be uint8"),
        ({"patches.bits": np.zeros((2, 3), np.int32)}, "must be uint8"),
        ({"patches.levels": np.array([0], np.int32)}, "ascend"),
        ({"patches.levels": np.array([-5], np.int32)}, "ascend"),
        ({"patches.levels": np.array([1 << 30], np.int32)}, "ascend"),
        ({"patches.motion": np.array([7, 7], np.int32)}, "ascend"),
        ({"patches.motion": np.arange(1, 200, dtype=np.int32)}, "classes"),
        ({"patches.motion": np.arange(1, 1000, dtype=np.int32)}, "missing or not int32"),
        ({"patches.motion": np.ones((1, 1), np.int32)}, "missing or not int32"),
        ({"patches.change": np.array([1.0], np.float32)}, "missing or not int32"),
        ({"patches.change": None}, "missing or not int32"),
        ({"patches.bits": None}, "is missing"),
    ],
)
def test_hostile_tables_are_refused(model: IntegerModel, tmp_path: Path, change: dict, said: str) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "own.qvm"
    save_model(replace(model, patches=PatchTable(NONE | {"levels": (1,)}, np.zeros((2, 3), np.uint8))), path)
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    arrays = load_file(path) | {key: value for key, value in change.items() if value is not None}
    if said == "classes":
        arrays["patches.change"] = arrays["patches.motion"]
    save_file({key: value for key, value in arrays.items() if change.get(key, value) is not None}, path, metadata)
    with pytest.raises(ModelError, match=said) as failure:
        read_model(path)
    assert "own.qvm" in str(failure.value) and "\n" not in str(failure.value)


def test_a_table_needs_networks_and_a_legal_description(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="without networks"):
        replace(load_model("skeleton"), patches=table({}))
    good = json.loads(table({"levels": (1,)}).to_json())
    for change in (
        {"version": 2},
        {"bits": [[9, 0, 0]] * 2},
        {"bits": [[1, 2], [3]]},
        {"thresholds": {}},
        {"bits": []},
    ):
        with pytest.raises(ModelError, match="bad"):
            PatchTable.from_json(json.dumps(good | change), "bad")
    for text in ("", "[]", "{}", "null"):
        with pytest.raises(ModelError, match="bad"):
            PatchTable.from_json(text, "bad")
