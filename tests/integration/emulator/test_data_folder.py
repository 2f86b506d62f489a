"""The data folder is its user's alone, whatever the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.emulator.talk import Caller
from tests.support.emulator import RunningEmulator

PRIVATE = ("emulator.sqlite3", "emulator.sqlite3-wal", "emulator.sqlite3-shm", "webhook-key.pem")
PRIVATE_KEYS = ("ca-key.pem", "server-key.pem")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Set the widest umask."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize("exists", [True, False])
def test_the_database_and_the_keys_are_for_their_user_alone(tmp_path: Path, exists: bool) -> None:
    data = tmp_path / "data"
    if exists:
        data.mkdir(mode=0o755)
    with RunningEmulator.start(data, tls=True) as emulator:
        Caller(emulator).submit("a secret cat")
        assert {name: mode(data / name) for name in PRIVATE + PRIVATE_KEYS} == dict.fromkeys(
            PRIVATE + PRIVATE_KEYS, 0o600
        )
        assert mode(data) == (0o755 if exists else 0o700)


def test_what_an_earlier_version_left_wider_is_narrowed_and_kept(tmp_path: Path) -> None:
    with RunningEmulator.start(tmp_path, tls=True) as emulator:
        request_id = Caller(emulator).submit("a cat")
        key = (tmp_path / "ca-key.pem").read_bytes()
        emulator.kill()
        for name in PRIVATE + PRIVATE_KEYS:
            (tmp_path / name).chmod(0o666)
        emulator.restart()
        assert Caller(emulator).status(request_id).status_code in (200, 202)
        assert {mode(tmp_path / name) for name in PRIVATE + PRIVATE_KEYS} == {0o600}
        assert (tmp_path / "ca-key.pem").read_bytes() == key
