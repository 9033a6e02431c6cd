"""Files appear whole or not at all; errors are one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from quaver.errors import MediaError, UsageError
from quaver.media.reader import open_video
from quaver.media.writer import SUFFIXES, create_video

from .samples import SIZES, noise, same_samples, video_format, write


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", [".y4m", ".mkv"])
@pytest.mark.parametrize("size", SIZES)
def test_lossless_files_keep_every_sample(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    frames = noise(video_format(*size))
    with open_video(write(tmp_path / f"clip{suffix}", frames)) as source:
        got = list(source)
    assert source.format == frames[0].format
    assert not source.converted
    assert [frame.pts for frame in got] == [0, 1, 2]
    assert all(same_samples(a, b) for a, b in zip(got, frames, strict=True))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_after_a_failure(tmp_path: Path, suffix: str, failure: type[BaseException]) -> None:
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(b"what was there")
    frames = noise(video_format())
    with pytest.raises(failure), create_video(path, frames[0].format) as sink:
        sink.write(frames[0])
        raise failure
    assert _names(tmp_path) == [path.name]
    assert path.read_bytes() == b"what was there"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_name_appears_when_the_file_is_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"CLIP{suffix.upper()}"
    frames = noise(video_format())
    with create_video(path, frames[0].format) as sink:
        sink.write(frames[0])
        assert not path.exists()
    assert _names(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_video_without_frames_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(MediaError, match="no frame was written"), create_video(tmp_path / f"a{suffix}", video_format()):
        pass
    assert _names(tmp_path) == []


@pytest.mark.parametrize("name", ["clip.avi", "clip", "clip.y4m.gz", ".mkv"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"must end in \.y4m .raw., \.mkv .FFV1, lossless. or \.mp4"):
        create_video(tmp_path / name, video_format())


def test_frames_must_fit(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    frames = noise(video_format(), [5, 5])
    with pytest.raises(UsageError, match="a 16x16 frame in a 64x48 video"), create_video(path, video_format()) as sink:
        sink.write(noise(video_format(16, 16))[0])
    with pytest.raises(UsageError, match="pts 5 follows 5; pts must grow"):
        write(path, frames)
    assert _names(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.mkv").mkdir()
    (tmp_path / "file").touch()
    for name, words in [
        ("folder.mkv", "not a regular file"),
        ("missing/clip.mkv", "No such file or directory"),
        ("file/clip.mkv", "Not a directory"),
        ("x" * 300 + ".mkv", "File name too long"),
    ]:
        with pytest.raises(MediaError, match=f"cannot write: .*{words}") as caught:
            create_video(tmp_path / name, video_format())
        assert "\n" not in str(caught.value)
    assert _names(tmp_path) == ["file", "folder.mkv"]


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from quaver.errors import MediaError
from tests.media.samples import noise, video_format, write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
try:
    write(Path(sys.argv[1]), noise(video_format(96, 64), range(3)))
except MediaError as error:
    print(error)
"""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_disk_that_fills_up(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    command = [sys.executable, "-c", _FULL_DISK, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert run.stdout == f"{path}: cannot write: File too large\n"
    assert (run.returncode, run.stderr) == (0, "")
    assert _names(tmp_path) == []
