"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from quaver.errors import MediaError
from quaver.evaluate.output import replacing


def test_a_finished_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("x")])
def test_an_error_leaves_the_old_one_alone(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("old")
    expected = MediaError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected) as caught, replacing(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    if isinstance(error, OSError):
        assert "a.tsv: cannot write: No space left on device" in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"a\.tsv: cannot write"), replacing(tmp_path / "no" / "a.tsv") as part:
        part.write_text("x")
