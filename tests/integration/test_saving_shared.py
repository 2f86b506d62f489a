"""A folder that others may write to: what is no file is neither waited for nor followed, and no swap is presented."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal.lookup import Remembered
from airflow_provider_pika.fal.models import PastRequest
from airflow_provider_pika.saving import disk
from airflow_provider_pika.saving.metadata import LONGEST
from tests.support.emulator import RunningEmulator
from tests.support.saving import SavingInstance, Video, leftovers, metadata_beside, names_in, save, saver

pytestmark = pytest.mark.drawn

SECRET = b"somebody else's"


@pytest.fixture
def unfetched(emulator: RunningEmulator) -> Video:
    """A video that is refused before anything is fetched: nobody needs to have generated it."""
    emulator.reset_file_requests()
    return {"url": f"{emulator.queue_url}/files/b/x/clip.mp4", "request_id": "r-1", "file_name": "clip.mp4"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "clips").mkdir()
    return tmp_path / "clips"


def device(path: Path) -> None:
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # as /dev/zero


def link_to_fifo(path: Path) -> None:
    os.mkfifo(f"{path}.fifo")
    path.symlink_to(f"{path}.fifo")


LINKS: dict[str, Callable[[Path], object]] = {
    "link to a file": lambda path: path.symlink_to("../secret"),
    "link to nothing": lambda path: path.symlink_to("nothing"),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link to a FIFO": link_to_fifo,
}
STRANGE: dict[str, Callable[[Path], object]] = {"FIFO": os.mkfifo, "folder": Path.mkdir, "device": device}


def is_possible(kind: str, folder: Path) -> bool:
    try:
        {**LINKS, **STRANGE}[kind](folder / "try")
    except PermissionError:  # a device takes root
        return False
    (folder / "try").rmdir() if kind == "folder" else (folder / "try").unlink()
    return True


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("at", ["fox.mp4", "fox.mp4.json"])
@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_file_is_refused_at_once_and_left_as_it_is(
    unfetched: Video, emulator: RunningEmulator, folder: Path, kind: str, at: str, overwrite: bool
) -> None:
    made = is_possible(kind, folder)
    (STRANGE[kind] if made else os.mkfifo)(folder / at)
    before = (folder / at).lstat()
    began = time.monotonic()
    with pytest.raises(
        AirflowFailException, match=f"There is a {kind if made else 'FIFO'} at {folder}/{at},"
    ) as raised:
        save(unfetched, folder / "fox.mp4", overwrite=overwrite)
    assert time.monotonic() - began < 5
    assert isinstance(raised.value.__cause__, errors.PathTaken)
    assert (names_in(folder), (folder / at).lstat().st_ino) == ([at], before.st_ino)
    assert emulator.file_requests() == []


@pytest.mark.parametrize("at", ["fox.mp4", "fox.mp4.json"])
@pytest.mark.parametrize("kind", LINKS)
def test_a_link_is_refused_at_once_and_not_followed(
    unfetched: Video, emulator: RunningEmulator, folder: Path, kind: str, at: str
) -> None:
    LINKS[kind](folder / at)
    with pytest.raises(AirflowFailException, match="There is a symbolic link") as raised:
        save(unfetched, folder / "fox.mp4")
    assert isinstance(raised.value.__cause__, errors.PathTaken)
    assert (folder / at).is_symlink()
    assert emulator.file_requests() == []


@pytest.mark.parametrize("at", ["fox.mp4", "fox.mp4.json"])
@pytest.mark.parametrize("kind", LINKS)
def test_overwriting_replaces_a_link_itself_and_not_what_it_leads_to(
    video: Video, folder: Path, kind: str, at: str
) -> None:
    LINKS[kind](folder / at)
    saved = save(video, folder / "fox.mp4", overwrite=True)
    assert not any((folder / name).is_symlink() for name in ("fox.mp4", "fox.mp4.json"))
    assert hashlib.sha256((folder / "fox.mp4").read_bytes()).hexdigest() == saved["sha256"]
    assert metadata_beside(folder / "fox.mp4")["request_id"] == video["request_id"]
    assert (folder.parent / "secret").read_bytes() == SECRET


def test_a_link_to_this_requests_own_file_is_not_taken_for_it(video: Video, folder: Path) -> None:
    save(video, folder / "real.mp4")
    for name in ("mp4", "mp4.json"):
        (folder / f"fox.{name}").symlink_to(f"real.{name}")
    with pytest.raises(AirflowFailException, match="symbolic link"):
        save(video, folder / "fox.mp4")
    save(video, folder / "fox.mp4", overwrite=True)
    assert not (folder / "fox.mp4").is_symlink()
    assert (folder / "real.mp4").read_bytes() == (folder / "fox.mp4").read_bytes()


def test_a_hard_link_keeps_its_other_names_content(video: Video, folder: Path) -> None:
    os.link(folder.parent / "secret", folder / "fox.mp4")
    with pytest.raises(AirflowFailException):
        save(video, folder / "fox.mp4")
    save(video, folder / "fox.mp4", overwrite=True)
    assert (folder.parent / "secret").read_bytes() == SECRET


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/stdout", "/proc/no/such/fox.mp4", "/proc/fox.mp4"])
def test_a_place_that_takes_no_file_fails_at_once_with_a_reason(
    unfetched: Video, emulator: RunningEmulator, path: str
) -> None:
    with pytest.raises((AirflowFailException, errors.StorageFailed), match=path):
        save(unfetched, path)
    assert emulator.file_requests() == []


def part_in(folder: Path) -> Path:
    [hidden] = list(folder.glob(".pika-*.part")) or folder.glob(".pika-*.lock")
    return hidden


def another_file(folder: Path) -> None:
    os.replace(folder.parent / "secret", part_in(folder))


def link_to_another(folder: Path) -> None:
    part = part_in(folder)
    part.unlink()
    part.symlink_to("../secret")


def changed_in_place(folder: Path) -> None:
    with part_in(folder).open("r+b") as file:
        file.write(SECRET)


def the_folder_itself(folder: Path) -> None:
    name = part_in(folder).name
    folder.rename(folder.with_name("old"))
    folder.mkdir()
    (folder / name).write_bytes(SECRET)


def save_while(
    swap: Callable[[Path], object],
    video: Video,
    emulator: RunningEmulator,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    """Save; somebody swaps files once the clip is verified. Return what was told."""
    emulator.fault("http_403", on="history", times=9)  # so that the task has a line to log in between
    task = saver(video, folder / "fox.mp4")
    told: list[str] = []

    def telling(line: str, *values: Any) -> None:
        told.append(line)
        if "The request's input is unknown" in line:
            swap(folder)

    monkeypatch.setattr(type(task), "log", type("Log", (), {"info": staticmethod(telling), "warning": telling})())
    task.execute({"ti": SavingInstance(), "outlet_events": {}})  # type: ignore[typeddict-item]
    return told


SWAPS = pytest.mark.parametrize("swap", [another_file, link_to_another, changed_in_place, the_folder_itself])


@SWAPS
def test_what_somebody_puts_in_place_of_the_verified_file_is_never_presented_as_it(
    video: Video,
    emulator: RunningEmulator,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    swap: Callable[[Path], object],
) -> None:
    monkeypatch.setattr(disk, "_nameless", lambda final: None)  # as on a network mount
    with pytest.raises(errors.StorageFailed, match=r"by somebody else|another task saves"):
        save_while(swap, video, emulator, folder, monkeypatch)
    assert not any(name in names_in(folder) for name in ("fox.mp4", "fox.mp4.json"))


@SWAPS
def test_a_file_without_a_name_cannot_be_swapped(
    video: Video,
    emulator: RunningEmulator,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    swap: Callable[[Path], object],
) -> None:
    if (nameless := disk._nameless(folder / "fox.mp4")) is None:
        pytest.skip("this filesystem has no files without a name")
    nameless.close()
    try:
        told = save_while(swap, video, emulator, folder, monkeypatch)
    except errors.PathInUse:  # it was the lock that was swapped
        assert swap is not changed_in_place
        assert not any(name in names_in(folder) for name in ("fox.mp4", "fox.mp4.json"))
        return
    content = (folder / "fox.mp4").read_bytes()
    assert swap is changed_in_place
    assert SECRET not in content
    assert metadata_beside(folder / "fox.mp4")["sha256"] == hashlib.sha256(content).hexdigest()
    assert any("Saved" in line for line in told)


def test_a_retry_after_a_swap_saves_the_clip(
    video: Video, emulator: RunningEmulator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(disk, "_nameless", lambda final: None)
        with pytest.raises(errors.StorageFailed):
            save_while(link_to_another, video, emulator, folder, patch)
    saved = save(video, folder / "fox.mp4")
    assert hashlib.sha256((folder / "fox.mp4").read_bytes()).hexdigest() == saved["sha256"]


@pytest.mark.parametrize("kind", [*STRANGE, "link to a file"])
@pytest.mark.parametrize("of", ["fox.mp4", "fox.mp4.json"])
def test_a_strangers_name_that_looks_like_a_leftover_fails_no_save(
    video: Video, folder: Path, kind: str, of: str
) -> None:
    if not is_possible(kind, folder):
        kind = "FIFO"
    left, _ = leftovers(folder / of)
    {**LINKS, **STRANGE}[kind](left)
    save(video, folder / "fox.mp4")
    assert {"fox.mp4", "fox.mp4.json", left.name} <= set(names_in(folder))


def test_a_file_without_end_that_claims_to_be_the_clip_is_not_read_for_hours(video: Video, folder: Path) -> None:
    path = folder / "fox.mp4"
    save(video, path)
    os.truncate(path, 1 << 40)  # sparse
    told = metadata_beside(path)
    Path(f"{path}.json").write_text(json.dumps({**told, "bytes": 1 << 40}))
    began = time.monotonic()
    with pytest.raises(AirflowFailException, match="more than max_bytes"):
        save(video, path)
    assert time.monotonic() - began < 5
    save(video, path, overwrite=True)


def test_another_files_metadata_says_nothing_raw(video: Video, folder: Path) -> None:
    save(video, folder / "fox.mp4")
    told = {**metadata_beside(folder / "fox.mp4"), "request_id": "\0::error::" + "x" * 100_000}
    (folder / "fox.mp4.json").write_text(json.dumps(told))
    with pytest.raises(AirflowFailException, match="holds the video of another request") as raised:
        save(video, folder / "fox.mp4")
    assert "\0" not in str(raised.value)
    assert len(str(raised.value)) < 1000


BOMB = """
import json, resource, sys
sys.path.insert(0, {root!r})
from airflow_provider_pika.saving.metadata import Metadata
with open(sys.argv[1]) as file:
    told = file.read().rstrip()[:-1]
text = (told + ', "input": {{"a": [' + '[{{}}],' * 2_800_000 + '0]}}}}').encode()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert Metadata.read(text)
print(len(text) >> 20, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_a_metadata_of_millions_of_values_is_read_within_bounds(video: Video, folder: Path) -> None:
    save(video, folder / "fox.mp4")
    code = BOMB.format(root=str(Path(__file__).parents[2]))
    command = [sys.executable, "-c", code, str(folder / "fox.mp4.json")]
    size, grown = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-2:])
    assert size >= 13
    assert grown < 400


def test_an_input_that_is_too_long_to_be_read_again_is_left_out_and_the_clip_is_recognised(
    video: Video, emulator: RunningEmulator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"prompt": "a fox", "image_url": "data:" + "x" * LONGEST}
    row = PastRequest(request_id=video["request_id"], json_input=told)
    monkeypatch.setattr("airflow_provider_pika.fal.client.FalQueue.remember", lambda *_: Remembered(row))
    first = save(video, folder / "fox.mp4", must_fit=False)
    metadata = metadata_beside(folder / "fox.mp4")
    assert (metadata["prompt"], metadata["input"]) == ("a fox", None)
    assert save(video, folder / "fox.mp4") == first
