"""Model files: identity, round trip, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from quaver.errors import ModelError
from quaver.runtime.model import IntegerModel, find_model, load_model, read_model, save_model


@pytest.fixture(scope="module")
def model() -> IntegerModel:
    return load_model("skeleton")


def test_round_trip_keeps_the_identity(model: IntegerModel, tmp_path: Path) -> None:
    save_model(model, tmp_path / "copy.qvm")
    copy = read_model(tmp_path / "copy.qvm")
    assert copy.hash == model.hash and copy.name == model.name
    for key, array in model.arrays().items():
        assert copy.arrays()[key].dtype == array.dtype
        np.testing.assert_array_equal(copy.arrays()[key], array)
    assert [path.name for path in tmp_path.iterdir()] == ["copy.qvm"]


def test_identity_is_of_the_content_not_of_memory_layout(model: IntegerModel) -> None:
    strided = replace(model, inter_levels=np.asfortranarray(model.inter_levels), steps=model.steps.astype(">i4"))
    assert strided.hash == model.hash


@pytest.mark.parametrize("change", ["steps", "intra_levels", "inter_levels", "name"])
def test_identity_notices_every_change(model: IntegerModel, change: str) -> None:
    if change == "name":
        other = replace(model, name="other")
    else:
        array = getattr(model, change).copy()
        array[-1, -1] += -1 if array[-1, -1] > 1 else 1
        other = replace(model, **{change: array})
    assert other.hash != model.hash


def test_steps_fall_with_quality(model: IntegerModel) -> None:
    assert (np.diff(model.steps.astype(int), axis=0) <= 0).all()
    steps = model.channel_steps(20)
    assert steps.shape == (96, 1, 1)
    assert set(steps[:64].ravel()) == {model.steps[20, 0]} and set(steps[64:].ravel()) == {model.steps[20, 1]}


def test_code_lengths_are_those_of_the_tables(model: IntegerModel) -> None:
    lengths = model.code_lengths
    assert lengths.shape == (len(model.tables.frequencies), 64)
    for number in range(1, model.selector):
        frequencies, support = model.tables.frequencies[number], int(model.tables.supports[number])
        for magnitude in range(min(support, 63) + 1):
            wanted = 24 - np.log2(float(frequencies[support + magnitude]))
            assert lengths[number, magnitude] == pytest.approx(wanted, abs=1e-4)
        assert (lengths[number, support + 1 :] > 24 - np.log2(float(frequencies[-1]))).all()


def test_zero_gets_dearer_from_table_to_table(model: IntegerModel) -> None:
    zero = model.code_lengths[1 : model.selector, 0]
    assert (np.diff(zero) > 0).all() and zero[0] < 0.01


@pytest.mark.parametrize(
    "change",
    [
        {"steps": np.ones((63, 2), np.int32)},
        {"steps": np.zeros((64, 2), np.int32)},
        {"steps": np.full((64, 2), (1 << 13) + 1, np.int32)},
        {"intra_levels": np.ones((4, 96), np.uint8)},
        {"inter_levels": np.full((4, 96), 255, np.uint8)},
        {"inter_levels": np.zeros((33, 96), np.uint8)},
        {"intra_levels": np.zeros((4, 95), np.uint8)},
    ],
)
def test_illegal_arrays_are_refused(model: IntegerModel, change: dict[str, np.ndarray]) -> None:
    with pytest.raises(ModelError, match="skeleton"):
        replace(model, **change)


def test_the_largest_step_keeps_products_in_32_bits(model: IntegerModel) -> None:
    from quaver.codec.frame_coder import LATENT_LIMIT

    largest = replace(model, steps=np.full((64, 2), 1 << 13, np.int32)).channel_steps(0).astype(np.int64).max()
    assert LATENT_LIMIT * largest <= 2**31 and (LATENT_LIMIT - 1) * largest + 32 < 2**31


def test_models_are_found_by_identity_in_the_folders_named(
    model: IntegerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(model, name="other")
    with pytest.raises(ModelError, match=other.hash.hex()[:16]):
        find_model(other.hash)
    monkeypatch.setenv("QUAVER_MODELS", str(tmp_path))
    (tmp_path / "broken.qvm").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"broken\.qvm"):
        find_model(other.hash)
    save_model(other, tmp_path / "other.qvm")
    assert find_model(other.hash).name == "other"  # whatever lies beside it
    assert load_model("other").hash == other.hash
    assert find_model(model.hash).name == "skeleton"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="skeleton"):
        load_model("nothing")


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(1000)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.qvm"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.qvm"):
        read_model(path)
    with pytest.raises(ModelError, match=r"missing\.qvm"):
        read_model(tmp_path / "missing.qvm")


def test_every_truncation_is_refused(model: IntegerModel, tmp_path: Path) -> None:
    save_model(model, tmp_path / "whole.qvm")
    data = (tmp_path / "whole.qvm").read_bytes()
    path = tmp_path / "cut.qvm"
    for size in [*range(0, 400, 7), len(data) // 2, len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(ModelError, match=r"cut\.qvm"):
            read_model(path)


@pytest.mark.parametrize("key", ["steps", "intra_levels", "inter_levels", "tables.supports", "tables.frequencies"])
def test_a_missing_or_wrongly_typed_array_is_refused(model: IntegerModel, tmp_path: Path, key: str) -> None:
    save_model(model, tmp_path / "whole.qvm")
    from safetensors import safe_open

    with safe_open(tmp_path / "whole.qvm", "np") as file:
        metadata = file.metadata()
    arrays = load_file(tmp_path / "whole.qvm")
    taken = arrays.pop(key)
    for changed in (arrays, arrays | {key: taken.astype(np.float32)}):
        save_file(changed, tmp_path / "bad.qvm", metadata=metadata)
        with pytest.raises(ModelError, match=r"bad\.qvm"):
            read_model(tmp_path / "bad.qvm")
