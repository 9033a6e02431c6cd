"""Tables of points and of their frames, which a run continues."""

from __future__ import annotations

from pathlib import Path

import pytest

from quaver.errors import MediaError, UsageError
from quaver.evaluate.metrics import Quality
from quaver.evaluate.points import Point, put_frames, read_frames, read_table, write_frames, write_table


def point(codec: str, quality: float) -> Point:
    return Point("apple", codec, "options", quality, 2, 100, 0.1, 30.0, 31.0, 1.0, 1.0)


def test_frames_of_finished_points_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "frames.tsv"
    first = read_frames(path)
    put_frames(first, point("x264", 20.0), [Quality(30.0, 40.0, 41.0), Quality(29.0, 39.0, 40.0)])
    put_frames(first, point("quaver-a", 22.5), [Quality(1.0, 2.0, 3.0)])
    write_frames(path, first, "one")
    again = read_frames(path)
    assert again == first
    put_frames(again, point("quaver-a", 22.5), [Quality(4.0, 5.0, 6.0)])
    put_frames(again, point("quaver-a", 32.0), [Quality(7.0, 8.0, 9.0)])
    write_frames(path, again, "two")
    rows = [tuple(row.values()) for row in read_table(path)]
    assert rows == [
        ("apple", "x264", "20", "0", "30.0000", "40.0000", "41.0000"),
        ("apple", "x264", "20", "1", "29.0000", "39.0000", "40.0000"),
        ("apple", "quaver-a", "22.5", "0", "4.0000", "5.0000", "6.0000"),
        ("apple", "quaver-a", "32", "0", "7.0000", "8.0000", "9.0000"),
    ]
    assert path.read_text().startswith("# two\n")


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "frames.tsv", ("clip", "frame"), [("apple", 0)])
    with pytest.raises(UsageError, match="not a table of frames"):
        read_frames(tmp_path / "frames.tsv")


def test_a_tables_folder_is_made(tmp_path: Path) -> None:
    write_table(tmp_path / "new" / "folder" / "table.tsv", ("a",), [(1,)])
    assert read_table(tmp_path / "new" / "folder" / "table.tsv") == [{"a": "1"}]
    (tmp_path / "file").touch()
    with pytest.raises(MediaError, match=r"table\.tsv"):
        write_table(tmp_path / "file" / "table.tsv", ("a",), [(1,)])
