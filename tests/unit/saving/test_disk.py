"""A folder that others may write to: only regular files are read or replaced, and what is shown is what was staged."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from airflow_provider_pika.exceptions import InvalidInput, PathInUse, PathTaken, StorageFailed
from airflow_provider_pika.saving import disk

NAMELESS = disk._nameless

CLIP = b"a clip" * 1000
SHA256 = hashlib.sha256(CLIP).hexdigest()


def make_socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)  # a socket's path has little room
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


STRANGE: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a FIFO": os.mkfifo,
    "a socket": make_socket,
    "a symbolic link": lambda path: path.symlink_to(path.with_name("stranger")),
    "a symbolic link to nothing": lambda path: path.symlink_to("nothing"),
    "a symbolic link to itself": lambda path: path.symlink_to(path),
    "a symbolic link to an endless device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.fixture(autouse=True, params=["without a name", "under a hidden name"])
def is_nameless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Stage files as the filesystem can: those of mounts and of other systems are never without a name."""
    if request.param == "without a name":
        if disk._nameless(Path(__file__)) is None:
            pytest.skip("this filesystem has no files without a name")
        return True
    monkeypatch.setattr(disk, "_nameless", lambda final: None)
    return False


@pytest.fixture
def named_parts(is_nameless: bool) -> None:
    """Run a test of parts that have the bytes themselves."""
    if is_nameless:
        pytest.skip("the part has no bytes")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "stranger").write_bytes(b"a stranger's")
    return tmp_path / "fox.mp4"


def stage(path: Path, content: bytes = CLIP, before: Callable[[Path], object] = lambda part: None) -> None:
    """Stage and show a file; ``before`` does something to the part just before it is shown."""
    with disk.staged(str(path)) as file:
        file.write(content)
        file.flush()
        before(hidden(file))
        disk.show(file, str(path), SHA256)


def hidden(file: disk.Staged) -> Path:
    """Return the part, or the lock of a file without a name."""
    return Path(file.part if file.has_name else file.lock.path if file.lock else "")


def leftovers(path: Path) -> list[Path]:
    """Return the names that an attempt may leave when it dies."""
    return [path.with_name(disk.hidden_name(path.name, suffix)) for suffix in (".lock", ".part")]


def others_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"stranger"}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_regular_file_is_not_opened_followed_or_waited_for(place: Path, kind: str) -> None:
    STRANGE[kind](place)
    began = time.monotonic()
    with pytest.raises(PathTaken, match=kind[:10]):
        disk.size_of(str(place))
    with pytest.raises(PathTaken, match=kind[:10]), disk.opened(str(place)):
        pass
    assert time.monotonic() - began < 10  # a FIFO would be waited for without end


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev"])
def test_a_device_is_not_read(path: str) -> None:
    with pytest.raises(PathTaken, match="There is a"), disk.opened(path):
        pass


@pytest.mark.parametrize("kind", STRANGE)
def test_what_takes_a_files_place_after_the_check_is_not_read_either(
    place: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write_bytes(CLIP)
    look = os.lstat

    def swapped_after(path: str) -> os.stat_result:
        found = look(path)
        place.unlink()
        STRANGE[kind](place)
        return found

    monkeypatch.setattr(os, "lstat", swapped_after)
    began = time.monotonic()
    with pytest.raises((PathTaken, OSError)), disk.opened(str(place)):
        pass
    assert time.monotonic() - began < 10  # a FIFO would be waited for without end


def test_folders_above_may_be_links(tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    (tmp_path / "clips").symlink_to("mount")
    stage(tmp_path / "clips" / "2026" / "fox.mp4")
    assert (tmp_path / "mount" / "2026" / "fox.mp4").read_bytes() == CLIP
    assert disk.size_of(str(tmp_path / "clips" / "2026" / "fox.mp4")) == len(CLIP)


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_a_file_has_the_permissions_that_any_new_file_has(place: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        stage(place)
    finally:
        os.umask(before)
    assert stat.S_IMODE(place.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("kind", ["a symbolic link", "a symbolic link to nothing", "a FIFO"])
def test_a_rename_replaces_the_name_and_not_where_it_leads(place: Path, kind: str) -> None:
    STRANGE[kind](place)
    stage(place)
    assert not place.is_symlink()
    assert place.read_bytes() == CLIP
    assert (place.parent / "stranger").read_bytes() == b"a stranger's"
    assert others_in(place.parent) == {"fox.mp4"}


def test_the_other_names_of_a_file_keep_their_content(place: Path) -> None:
    os.link(place.parent / "stranger", place)
    stage(place)
    assert place.read_bytes() == CLIP
    assert (place.parent / "stranger").read_bytes() == b"a stranger's"


def other_file(part: Path) -> None:
    os.replace(part.with_name("stranger"), part)


def as_long(part: Path) -> None:
    part.unlink()
    part.write_bytes(b"x" * len(CLIP))


def the_same_bytes(part: Path) -> None:
    part.unlink()
    part.write_bytes(CLIP)


def swapped_for(kind: str) -> Callable[[Path], None]:
    def swap(part: Path) -> None:
        part.unlink()
        STRANGE[kind](part)

    return swap


def written_into(part: Path) -> None:
    with part.open("r+b") as file:
        file.write(b"not")


def appended_to(part: Path) -> None:
    with part.open("ab") as file:
        file.write(b"more")


SWAPS: dict[str, Callable[[Path], object]] = {
    "another file": other_file,
    "a file of the same length": as_long,
    "a file of the same bytes, which its owner can change": the_same_bytes,
    **{kind: swapped_for(kind) for kind in STRANGE},
    "written into": written_into,
    "appended to": appended_to,
    "cut off": lambda part: os.truncate(part, 3),
}


@pytest.mark.usefixtures("named_parts")
@pytest.mark.parametrize("swap", SWAPS)
def test_a_part_that_was_swapped_or_changed_is_not_shown(place: Path, swap: str) -> None:
    with pytest.raises(StorageFailed, match="changed by somebody else"):
        stage(place, before=SWAPS[swap])
    assert not os.path.lexists(place)


def lock_of(path: Path) -> Path:
    return leftovers(path)[0]


@pytest.mark.parametrize("swap", ["removed", *SWAPS])
def test_a_lock_that_another_one_took_away_ends_the_save_and_changes_nothing(place: Path, swap: str) -> None:
    def taking_away(_: Path) -> None:
        {"removed": Path.unlink, **SWAPS}[swap](lock_of(place))

    if swap in ("written into", "appended to", "cut off"):  # it is the same lock
        stage(place, before=taking_away)
        assert place.read_bytes() == CLIP
    else:
        with pytest.raises(PathInUse, match="another task saves"):
            stage(place, before=taking_away)
        assert not os.path.lexists(place)


@pytest.mark.parametrize("earlier", [b"", b"another file", CLIP])
def test_a_file_that_is_there_is_replaced_at_once(place: Path, earlier: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write_bytes(earlier)
    rename, seen = os.replace, list[bytes]()

    def seeing(part: str, final: str) -> None:
        seen.append(place.read_bytes())
        rename(part, final)

    monkeypatch.setattr(os, "replace", seeing)
    stage(place)
    assert (seen, place.read_bytes()) == ([earlier], CLIP)
    assert others_in(place.parent) == {"fox.mp4"}


def test_bytes_are_put_at_once_over_whatever_is_there(place: Path) -> None:
    for content in (b"first", b"second", b""):
        disk.put(str(place), content, "")
        assert place.read_bytes() == content
        assert others_in(place.parent) == {"fox.mp4"}


def test_a_disk_that_takes_a_part_of_the_bytes_shows_nothing(place: Path) -> None:
    script = f"""
import resource, signal, sys
from pathlib import Path
from airflow_provider_pika.saving import disk
if not {disk._nameless is NAMELESS}:
    disk._nameless = lambda final: None
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    disk.put({str(place)!r}, b"x" * 5000, "task")
except OSError as error:
    print(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{errno.EFBIG}\n"
    assert others_in(place.parent) == set()


def test_what_a_decoder_writes_into_the_file_after_it_was_verified_is_not_shown(place: Path) -> None:
    with disk.staged(str(place)) as file:
        file.write(CLIP)
        file.flush()
        with open(f"/proc/self/fd/{file.fileno()}", "r+b") as again:  # as a process can that was handed a descriptor
            again.write(b"evil")
        with pytest.raises(StorageFailed, match="by somebody else"):
            disk.show(file, str(place), SHA256)
    assert others_in(place.parent) == set()


def test_a_file_without_a_name_has_a_lock_beside_it_and_no_part(place: Path, is_nameless: bool) -> None:
    lock, part = leftovers(place)
    with disk.staged(str(place), "one") as file:
        file.write(CLIP)
        file.flush()
        assert others_in(place.parent) == ({lock.name} if is_nameless else {lock.name, part.name})
        assert lock.read_text() == disk.tag("one")
    assert others_in(place.parent) == set()


@pytest.mark.parametrize("error", [errno.EPERM, errno.EXDEV, errno.ENOENT, errno.EOPNOTSUPP])
def test_a_filesystem_that_does_not_link_a_file_without_a_name_has_it_copied(
    place: Path, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", refusing)
    stage(place)
    disk.put(str(place.with_name("fox.json")), b"{}", "")
    assert place.read_bytes() == CLIP
    assert place.with_name("fox.json").read_bytes() == b"{}"
    assert others_in(place.parent) == {"fox.mp4", "fox.json"}


def test_a_file_is_on_the_disk_before_it_has_its_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, synced = os.fsync, list[bool]()

    def syncing(descriptor: int) -> None:
        synced.append(place.exists())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", syncing)
    stage(place)
    assert synced
    assert not any(synced)
    assert place.exists()


@pytest.mark.usefixtures("named_parts")
@pytest.mark.parametrize("swap", ["another file", "a file of the same length", "a symbolic link", "a FIFO"])
def test_a_part_that_was_swapped_just_before_the_rename_is_not_taken_for_the_clip(
    place: Path, swap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.replace

    def swapping(part: str, final: str) -> None:
        monkeypatch.undo()
        SWAPS[swap](Path(part))
        rename(part, final)

    monkeypatch.setattr(os, "replace", swapping)
    with pytest.raises(StorageFailed, match="replaced by somebody else"):
        stage(place)


@pytest.mark.usefixtures("named_parts")
def test_a_mount_that_gives_a_renamed_file_another_inode_is_a_disk_too(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copying(part: str, final: str) -> None:  # as gcsfuse does
        Path(final).write_bytes(Path(part).read_bytes())
        os.unlink(part)

    monkeypatch.setattr(os, "replace", copying)
    stage(place)
    assert place.read_bytes() == CLIP


@pytest.mark.usefixtures("named_parts")
def test_a_strangers_file_under_the_parts_name_is_left_there(place: Path) -> None:
    with pytest.raises(StorageFailed):
        stage(place, before=as_long)
    [left] = others_in(place.parent) - {"fox.mp4"}
    assert (place.parent / left).read_bytes() == b"x" * len(CLIP)


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_regular_file_under_a_locks_name_is_left_alone_and_fails_no_save(place: Path, kind: str) -> None:
    lock, part = leftovers(place)
    STRANGE[kind](lock)
    part.write_bytes(b"half a file")
    stage_as("one", place)
    assert place.read_bytes() == CLIP
    assert os.path.lexists(lock)


@pytest.mark.usefixtures("named_parts")
@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_regular_file_under_a_parts_name_is_never_written_to(place: Path, kind: str) -> None:
    _, part = leftovers(place)
    STRANGE[kind](part)
    with contextlib.ExitStack() as stack:
        if kind == "a folder":  # the error names it, and somebody else's folder is not removed
            stack.enter_context(pytest.raises(OSError, match=re.escape(str(part))))
        stage(place)
    assert (place.parent / "stranger").read_bytes() == b"a stranger's"
    assert place.exists() != (kind == "a folder")


@pytest.mark.parametrize("mode", [0o444, 0o000])
@pytest.mark.parametrize("first", ["", "one", "other"])
def test_a_lock_that_a_dead_task_of_another_user_left_fails_no_save(
    place: Path, mode: int, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, _ = leftovers(place)
    lock.write_text(disk.tag(first))
    _as_another_users(lock, mode, monkeypatch)
    stage_as("one", place)
    assert place.read_bytes() == CLIP


@pytest.mark.parametrize("writer", ["one", "other"])
def test_a_lock_that_cannot_be_taken_away_is_not_waited_for_without_end(
    place: Path, writer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with disk.staged(str(place), "one"):
        _as_another_users(lock_of(place), 0o444, monkeypatch)
        with pytest.raises(PathInUse, match="Another task saves"), disk.staged(str(place), writer):
            pytest.fail("two at once")
        monkeypatch.undo()


def _as_another_users(path: Path, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a file be another user's, in a folder where each removes only their own: root may do anything here."""
    really_open, really_unlink = os.open, os.unlink

    def opening(name: Any, flags: int, *more: Any, **others: Any) -> int:
        if os.fspath(name) == str(path) and (mode == 0 or flags & os.O_ACCMODE):
            raise PermissionError(errno.EACCES, "Permission denied")
        return really_open(name, flags, *more, **others)

    def unlinking(name: Any, **others: Any) -> None:
        if os.fspath(name) == str(path):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        really_unlink(name, **others)

    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr(os, "unlink", unlinking)


def test_a_file_that_grows_while_it_is_hashed_ends_the_hashing(place: Path) -> None:
    place.write_bytes(CLIP)
    with disk.opened(str(place)) as file:
        os.truncate(place, 1 << 40)  # sparse
        assert disk.sha256_of(file.fileno(), len(CLIP)) is None


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "fox.mp4", "[1]*?.mp4", "\udcff.mp4"], ids=ascii)
def test_every_name_that_a_disk_takes_is_staged_and_its_leftovers_are_found(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    for left in leftovers(place):
        left.write_bytes(b"half a file")
        assert len(left.name) == 27
    stage(place)
    assert place.read_bytes() == CLIP
    assert others_in(tmp_path) == {name}


@pytest.mark.parametrize("suffix", ["", ".json"])
def test_a_name_that_the_folder_does_not_take_is_refused_before_anything_is_fetched(
    place: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pathconf", lambda *_: len("fox.mp4") + len(suffix) - 1)  # as an encrypted folder, 143
    with pytest.raises(InvalidInput, match="takes file names of"), disk.staged(str(place), "", suffix):
        pytest.fail("it was fetched")
    assert others_in(place.parent) == set()


def test_a_folder_that_does_not_say_what_it_takes_is_no_trouble(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: object) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "pathconf", refusing)
    stage(place)
    assert place.read_bytes() == CLIP


WRITERS = [("", ""), ("one", "other"), ("", "other"), ("one", "")]


@pytest.mark.parametrize(("first", "second"), WRITERS)
def test_what_another_task_is_writing_stays_and_the_later_one_is_told(place: Path, first: str, second: str) -> None:
    with disk.staged(str(place), first) as file:
        file.write(CLIP)
        file.flush()
        with pytest.raises(PathInUse, match="Another task saves"), disk.staged(str(place), second):
            pytest.fail("two at once")
        disk.show(file, str(place), SHA256)
    assert place.read_bytes() == CLIP
    assert others_in(place.parent) == {"fox.mp4"}


@pytest.mark.parametrize(("first", "second"), [*WRITERS, ("one", "one")])
def test_what_a_dead_task_left_goes_whoever_it_was(place: Path, first: str, second: str) -> None:
    lock, part = leftovers(place)
    lock.write_text(disk.tag(first) if first else "")
    part.write_bytes(b"half a file")
    stage_as(second, place)
    assert place.read_bytes() == CLIP
    assert others_in(place.parent) == {"fox.mp4"}


def test_an_attempt_takes_the_place_of_an_earlier_one_that_still_runs(place: Path) -> None:
    with pytest.raises(PathInUse, match="another task saves"):
        stage_as("one", place, meanwhile=lambda _: stage_as("one", place))
    assert place.read_bytes() == CLIP
    assert others_in(place.parent) == {"fox.mp4"}


def stage_as(writer: str, path: Path, meanwhile: Callable[[Path], object] = lambda part: None) -> None:
    with disk.staged(str(path), writer) as file:
        file.write(CLIP)
        meanwhile(hidden(file))
        file.flush()
        disk.show(file, str(path), SHA256)


def test_of_many_that_begin_at_once_one_writes(place: Path) -> None:
    begin, written, refused = threading.Barrier(16), list[str](), list[str]()

    def save(writer: str) -> None:
        begin.wait()
        try:
            with disk.staged(str(place), writer) as file:
                file.write(CLIP)
                time.sleep(0.05)
                disk.show(file, str(place), SHA256)
            written.append(writer)
        except PathInUse:
            refused.append(writer)

    threads = [threading.Thread(target=save, args=(str(number),)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(written), len(refused)) == (1, 15)
    assert others_in(place.parent) == {"fox.mp4"}


def test_a_lock_that_was_just_given_back_is_no_trouble(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, given_back = disk._lock, list[Path]()

    def giving_back(file: IO[bytes]) -> bool:  # its holder has ended between our open and our lock
        if not given_back:
            given_back.append(lock_of(place))
            lock_of(place).unlink()
        return lock(file)

    monkeypatch.setattr(disk, "_lock", giving_back)
    stage_as("one", place)
    assert given_back
    assert others_in(place.parent) == {"fox.mp4"}


def test_a_folder_is_never_listed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listing(*_: object) -> None:
        pytest.fail("a folder of ten thousand clips takes 50 ms")

    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, listing)
    stage_as("one", place)
    disk.put(str(place.with_name("fox.json")), b"{}", "one")


def test_what_fails_since_another_removed_the_part_tells_of_that(place: Path) -> None:
    def read_what_is_gone(_: Path) -> None:
        lock_of(place).unlink()
        lock_of(place).read_bytes()

    with pytest.raises(PathInUse) as raised:
        stage_as("", place, meanwhile=read_what_is_gone)
    assert isinstance(raised.value.__cause__, FileNotFoundError)


def test_the_hidden_names_of_files_differ() -> None:
    made = {disk.hidden_name(name, suffix) for name in ("a", "a.json", "b") for suffix in (".lock", ".part")}
    assert len(made) == 6
    assert {len(name) for name in made} == {27}


def test_a_mount_without_locks_is_a_disk_too(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    lock_of(place).write_bytes(b"half a file")
    stage(place)
    assert others_in(place.parent) == {"fox.mp4"}


@pytest.mark.parametrize("trouble", [None, OSError(errno.EINVAL, "no such advice"), AttributeError("posix_fadvise")])
def test_the_disk_begins_with_a_large_file_before_its_last_byte_is_there(
    place: Path, trouble: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = list[int]()

    def advising(descriptor: int, start: int, *_: int) -> None:
        begun.append(os.fstat(descriptor).st_size - start)
        if trouble:
            raise trouble

    monkeypatch.setattr(os, "posix_fadvise", advising)
    piece = bytes(1 << 20)
    with disk.staged(str(place)) as file:
        for _ in range(40):
            file.write(piece)
        assert begun == [16 << 20, 16 << 20]
        disk.show(file, str(place), hashlib.sha256(piece * 40).hexdigest())
    assert place.stat().st_size == 40 << 20
