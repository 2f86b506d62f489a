"""Many files, and a fork of one process for each: as much is seen, and what breaks one harms no other."""

from __future__ import annotations

import contextlib
import io
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_pika.exceptions import VideoRejected
from airflow_provider_pika.media import decoder, decoding, verify
from airflow_provider_pika.media.decoding import Forks
from airflow_provider_pika.media.mp4 import Clip
from airflow_provider_pika.media.verify import probe
from tests.support.bombs import encoded
from tests.support.waiting import until

SHOWN = Clip(64, 48, 1.0, 25.0)

#: A decoder that meets its end in every file of an odd length.
BRITTLE = """
import os, sys, time
sys.path.insert(0, {folder!r})
import decoder
opened = decoder.opened
def brittle(av, file, containers, pixels):
    if file._size % 2:
        {end}
    return opened(av, file, containers, pixels)
decoder.opened = brittle
decoder.main()
"""

ENDS = {
    "crashes": "os.abort()",
    "takes all memory": "bytearray(1 << 31)",
    "never answers": "time.sleep(60)",
    "spins": "\n        while True: pass",
    "takes the parent along": "os.kill(os.getppid(), 9); os._exit(9)",
}


def brittle(monkeypatch: pytest.MonkeyPatch, folder: Path, end: str, text: str = BRITTLE) -> None:
    script = folder / "brittle.py"
    script.write_text(text.format(folder=str(Path(decoder.__file__).parent), end=end))
    monkeypatch.setattr(decoder, "__file__", str(script))
    monkeypatch.setattr(decoding, "_ANSWER", 3.0)
    monkeypatch.setattr(verify, "_CPU", 2)
    monkeypatch.setattr(decoding, "_QUICK_ANSWER", 1.0)


def seen(content: bytes, forks: Forks | None, with_poster: bool = False) -> Clip | str:
    try:
        return probe(io.BytesIO(content), len(content), lambda line: None, with_poster=with_poster, forks=forks)
    except VideoRejected as error:
        return error.message


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_a_fork_sees_what_a_process_of_the_files_own_sees(container: str) -> None:
    content = encoded(container, "libx264")
    with Forks() as forks:
        assert seen(content, forks, with_poster=True) == seen(content, None, with_poster=True)
        assert seen(content[:300], forks) == seen(content[:300], None)


def test_one_process_is_started_for_any_number_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    started, start = [], decoding._started

    def counted(*given: Any) -> Any:
        started.append(given)
        return start(*given)

    monkeypatch.setattr(decoding, "_started", counted)
    content = encoded("mp4", "libx264")
    with Forks() as forks, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: seen(content, forks), range(40))) == [SHOWN] * 40
    assert len(started) == 1


def counted_forks(forks: Forks, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    made, make = list[object](), forks._new

    def counted(told: Any) -> Any:
        made.append(told)
        return make(told)

    monkeypatch.setattr(forks, "_new", counted)
    return made


def test_a_fork_opens_many_files_and_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded("mp4", "libx264")
    with Forks() as forks:
        made = counted_forks(forks, monkeypatch)
        assert [seen(content, forks) for _ in range(120)] == [SHOWN] * 120
    assert len(made) == 3


#: A decoder that can open one file.
WORN = """
import os, sys, time
sys.path.insert(0, {folder!r})
import decoder
opened, seen = decoder.opened, []
def worn(av, file, containers, pixels):
    seen.append(file)
    if len(seen) > 1:
        {end}
    return opened(av, file, containers, pixels)
decoder.opened = worn
decoder.main()
"""


@pytest.mark.parametrize("with_poster", [False, True])
@pytest.mark.parametrize(
    "end", [*(end for end in ENDS.values() if "getppid" not in end), "raise ValueError('it is broken')"]
)
def test_what_earlier_files_have_broken_in_a_fork_refuses_no_good_file(
    end: str, with_poster: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brittle(monkeypatch, tmp_path, end, WORN)
    content = encoded("mp4", "libx264")
    with Forks() as forks:
        outcomes = [seen(content, forks, with_poster) for _ in range(3)]
    assert outcomes == [outcomes[0]] * 3
    assert isinstance(outcomes[0], Clip)
    assert bool(outcomes[0].poster) is with_poster


def test_a_decoder_gets_a_descriptor_that_cannot_be_written_to(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(b"a clip")
    with path.open("r+b") as file, decoding.descriptor_of(file) as descriptor:
        assert os.pread(descriptor, 10, 0) == b"a clip"
        with pytest.raises(OSError, match="Bad file"):
            os.write(descriptor, b"another")


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_file_that_ends_its_fork_harms_no_other_file(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brittle(monkeypatch, tmp_path, end)
    content = encoded("mp4", "libx264")
    even = content + b"\0" * (len(content) % 2)
    files = [even, even, even + b"\0", even] * 2
    with Forks() as forks:
        outcomes = [seen(each, forks) for each in files]
    for file, outcome in zip(files, outcomes, strict=True):
        assert outcome == SHOWN if len(file) % 2 == 0 else "cannot be opened as a video" in str(outcome)


def test_a_process_that_has_died_is_started_anew() -> None:
    content = encoded("mp4", "libx264")
    with Forks() as forks:
        assert seen(content, forks) == SHOWN
        assert forks._process is not None
        os.kill(forks._process.pid, signal.SIGKILL)
        assert seen(content, forks) == SHOWN


def test_the_end_of_the_process_that_forks_costs_no_file_that_another_thread_decodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brittle(monkeypatch, tmp_path, "time.sleep(2)")
    content = encoded("mp4", "libx264")
    even = content + b"\0" * (len(content) % 2)
    with Forks() as forks, ThreadPoolExecutor() as pool:
        slow = pool.submit(seen, even + b"\0", forks)
        until(lambda: forks._process is not None and len(living(forks._process.pid)) == 2, "the fork", 10)
        assert forks._process is not None
        os.kill(forks._process.pid, signal.SIGKILL)
        assert seen(even, forks) == SHOWN
        assert slow.result() == SHOWN


def living(group: int) -> list[str]:
    """Return the processes of a group that are no zombies."""
    states = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, number = path.read_text().rpartition(")")[2].split()[:3]
            if int(number) == group and state != "Z":
                states.append(path.parent.name)
    return states


def test_nothing_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brittle(monkeypatch, tmp_path, "time.sleep(60)")
    content = encoded("mp4", "libx264")
    open_before = len(os.listdir("/proc/self/fd"))
    with Forks() as forks:
        seen(content + b"\0" * (1 + len(content) % 2), forks)
        assert forks._process is not None
        group = forks._process.pid  # it leads a group of its own
        assert len(living(group)) == 2
    until(lambda: not living(group), "both to be gone", 10)
    assert len(os.listdir("/proc/self/fd")) == open_before
