"""What goes wrong between the URL and the file: it lands whole, or fails with the reason, and never half."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.media import http_range
from tests.integration.conftest import connect
from tests.support.emulator import RunningEmulator
from tests.support.saving import Video, generated, metadata_beside, names_in, save
from tests.support.sizes import size

pytestmark = pytest.mark.drawn


@pytest.fixture(autouse=True)
def quick_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_range, "PAUSES", tuple(seconds / 100 for seconds in http_range.PAUSES))


@pytest.fixture
def faulty(emulator: RunningEmulator) -> Callable[[str], Video]:
    def make(prompt: str) -> Video:
        video, _ = generated(prompt)
        emulator.reset_file_requests()
        return video

    return make


def fails(video: Video, path: Path, **arguments: Any) -> Exception:
    """Save, give what the task failed with, and look that nothing is left, under any name."""
    with pytest.raises((AirflowFailException, errors.PikaError)) as raised:
        save(video, path, **arguments)
    assert names_in(path.parent) == []
    return raised.value


def fails_for_good(video: Video, path: Path, **arguments: Any) -> BaseException | None:
    error = fails(video, path, **arguments)
    assert isinstance(error, AirflowFailException)
    return error.__cause__


def test_a_connection_that_is_reset_several_times_is_gone_on_with_where_it_was(
    faulty: Callable[[str], Video], emulator: RunningEmulator, tmp_path: Path
) -> None:
    video = faulty("a fox [[reset_midway bytes=50000 times=3]]")
    assert save(video, tmp_path / "fox.mp4")["bytes"] == video["file_size"]
    asked = emulator.file_requests()
    assert [request["range"] for request in asked] == [None, "bytes=50000-", "bytes=100000-", "bytes=150000-"]
    assert [request["status"] for request in asked] == [200, 206, 206, 206]


def test_a_connection_that_stands_still_is_given_up_and_gone_on_with(
    faulty: Callable[[str], Video], emulator: RunningEmulator, tmp_path: Path
) -> None:
    video = faulty("a fox [[stall_midway bytes=50000 seconds=60]]")
    began = time.monotonic()
    save(video, tmp_path / "fox.mp4", stall_timeout=0.5)
    assert time.monotonic() - began < 20
    assert [request["range"] for request in emulator.file_requests()] == [None, "bytes=50000-"]


def test_a_file_that_trickles_is_bounded_by_the_deadline(faulty: Callable[[str], Video], tmp_path: Path) -> None:
    video = faulty("a fox [[slow_download bytes_per_second=20000]]")
    began = time.monotonic()
    error = fails(video, tmp_path / "clips" / "fox.mp4", timeout=1.5)
    assert time.monotonic() - began < 10
    assert isinstance(error, errors.DownloadInterrupted)
    assert "more than 1.5 s" in str(error)
    assert "pays for nothing" in str(error)


def test_a_slow_download_says_how_far_it_is(
    faulty: Callable[[str], Video], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_pika.media.download.TELL_EVERY", 0.3)
    told: list[str] = []
    monkeypatch.setattr("airflow_provider_pika.saving.save.Download", _telling(told))
    save(faulty("a fox [[slow_download bytes_per_second=200000]]"), tmp_path / "fox.mp4")
    # how large the clip is follows from its seed, which is drawn
    assert any(re.match(r"Fetched 0\.\d of 0\.\d MB \(\d+%\), [\d.]+ MB/s$", line) for line in told), told


def _telling(told: list[str]) -> Any:
    from airflow_provider_pika.media.download import Download

    return lambda sink, trust, limits, tell: Download(sink, trust, limits, told.append)


def test_a_host_that_takes_no_ranges_is_begun_anew(
    faulty: Callable[[str], Video], emulator: RunningEmulator, tmp_path: Path
) -> None:
    video = faulty("a fox [[reset_midway bytes=50000]] [[no_ranges]]")
    assert save(video, tmp_path / "fox.mp4")["bytes"] == video["file_size"]
    assert [request["status"] for request in emulator.file_requests()] == [200, 200]


def test_a_file_that_changed_in_the_middle_is_begun_anew(
    faulty: Callable[[str], Video], emulator: RunningEmulator, tmp_path: Path
) -> None:
    video = faulty("a fox [[reset_midway bytes=50000]] [[changed_file]]")
    assert save(video, tmp_path / "fox.mp4")["bytes"] == video["file_size"]
    assert [request["status"] for request in emulator.file_requests()] == [200, 200]
    assert emulator.file_requests()[1]["if_range"]


def test_a_content_length_that_is_wrong_costs_another_call_and_no_clip(
    faulty: Callable[[str], Video], emulator: RunningEmulator, tmp_path: Path
) -> None:
    video = faulty("a fox [[wrong_content_length]]")
    assert save(video, tmp_path / "fox.mp4")["bytes"] == video["file_size"]
    assert [request["status"] for request in emulator.file_requests()] == [200, 416]


@pytest.mark.parametrize("fault", ["http_500", "http_502", "http_503", "http_429 retry_after=0", "reset"])
def test_trouble_at_the_host_is_sat_out(
    faulty: Callable[[str], Video], emulator: RunningEmulator, tmp_path: Path, fault: str
) -> None:
    save(faulty(f"a fox [[{fault} on=file times=3]]"), tmp_path / "fox.mp4")
    assert len(emulator.file_requests()) == 4


def test_trouble_that_does_not_end_fails_so_that_a_retry_can_help(
    faulty: Callable[[str], Video], tmp_path: Path
) -> None:
    error = fails(faulty("a fox [[http_503 on=file times=99]]"), tmp_path / "clips" / "fox.mp4")
    assert isinstance(error, errors.DownloadInterrupted)
    assert "HTTP 503" in str(error)


def test_an_expired_file_fails_for_good_and_says_what_a_new_one_takes(
    faulty: Callable[[str], Video], emulator: RunningEmulator, tmp_path: Path
) -> None:
    cause = fails_for_good(faulty("a fox [[expired_file]]"), tmp_path / "clips" / "fox.mp4")
    assert isinstance(cause, errors.VideoExpired)
    assert "clear the task that generates it" in str(cause)
    assert len(emulator.file_requests()) == 3  # a new file may not be everywhere at once


def test_a_file_that_is_everywhere_only_a_moment_later_is_fetched(
    faulty: Callable[[str], Video], tmp_path: Path
) -> None:
    save(faulty("a fox [[http_404 on=file]]"), tmp_path / "fox.mp4")


def test_a_private_file_fails_for_good(
    faulty: Callable[[str], Video], emulator: RunningEmulator, tmp_path: Path
) -> None:
    cause = fails_for_good(faulty("a fox [[forbidden_file]]"), tmp_path / "clips" / "fox.mp4")
    assert isinstance(cause, errors.DownloadRefused)
    assert len(emulator.file_requests()) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("truncated_file", errors.UnexpectedFile, "fal announced"),
        ("html_file", errors.UnexpectedFile, "text/html, not a video"),
    ],
)
def test_what_is_not_what_fal_announced_fails_so_that_a_retry_can_help(
    faulty: Callable[[str], Video], tmp_path: Path, fault: str, kind: type[errors.PikaError], words: str
) -> None:
    error = fails(faulty(f"a fox [[{fault}]]"), tmp_path / "clips" / "fox.mp4")
    assert type(error) is kind
    assert words in str(error)


def test_a_truncated_file_is_found_out_where_fal_announced_no_length(
    faulty: Callable[[str], Video], tmp_path: Path
) -> None:
    video = {**faulty("a fox [[truncated_file]]"), "file_size": None}
    cause = fails_for_good(video, tmp_path / "clips" / "fox.mp4")
    assert isinstance(cause, errors.VideoRejected)
    assert "cut off" in str(cause)


def test_a_file_that_is_no_video_fails_for_good(faulty: Callable[[str], Video], tmp_path: Path) -> None:
    cause = fails_for_good(faulty("a fox [[broken_file]]"), tmp_path / "clips" / "fox.mp4")
    assert isinstance(cause, errors.VideoRejected)


def test_a_video_of_the_wrong_length_fails_for_good_unless_it_need_not_fit(
    faulty: Callable[[str], Video], tmp_path: Path
) -> None:
    video = faulty("a fox [[wrong_length]]")
    cause = fails_for_good(video, tmp_path / "clips" / "fox.mp4")
    assert isinstance(cause, errors.VideoRejected)
    assert "2.50 s long; the request asked for 5 s" in str(cause)
    assert save(video, tmp_path / "clips" / "fox.mp4", must_fit=False)["seconds"] == 2.5


def test_a_file_above_the_cap_is_not_even_begun(
    faulty: Callable[[str], Video], emulator: RunningEmulator, tmp_path: Path
) -> None:
    video = faulty("a fox")
    cause = fails_for_good(video, tmp_path / "clips" / "fox.mp4", max_bytes=100_000)
    assert isinstance(cause, errors.VideoRejected)
    assert emulator.file_requests() == []
    cause = fails_for_good({**video, "file_size": None}, tmp_path / "clips" / "fox.mp4", max_bytes=100_000)
    assert "max_bytes" in str(cause)


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """A host that nobody allowed; notes who comes."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    seen: list[str] = []
    handler = type("Handler", (Elsewhere,), {"seen": seen})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/clip.mp4", seen
        server.shutdown()


def test_a_redirect_to_another_host_is_not_followed(
    faulty: Callable[[str], Video], elsewhere: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, seen = elsewhere
    cause = fails_for_good(faulty(f"a fox [[redirect on=file location={url}]]"), tmp_path / "clips" / "fox.mp4")
    assert isinstance(cause, errors.UntrustedUrl)
    assert seen == []


@pytest.mark.parametrize("location", ["http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "ftp://x/y"])
def test_a_redirect_to_the_machines_inside_is_not_followed(
    faulty: Callable[[str], Video], tmp_path: Path, location: str
) -> None:
    video = faulty(f"a fox [[redirect on=file location={location}]]")
    assert isinstance(fails_for_good(video, tmp_path / "clips" / "fox.mp4"), errors.UntrustedUrl)


def test_a_redirect_within_the_host_is_followed_and_a_circle_ends(
    faulty: Callable[[str], Video], emulator: RunningEmulator, tmp_path: Path
) -> None:
    video = faulty("a fox")
    path = video["url"].removeprefix(emulator.queue_url)
    emulator.fault("redirect", on="file", location=path, times=2)
    save(video, tmp_path / "fox.mp4")
    emulator.fault("redirect", on="file", location=path, times=99)
    cause = fails_for_good(faulty("an owl") | {"url": video["url"]}, tmp_path / "clips" / "owl.mp4")
    assert "redirects more than" in str(cause)


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "http://127.0.0.1:1/x.mp4", "https://example.com/x"])
def test_a_url_of_another_host_is_not_fetched(faulty: Callable[[str], Video], tmp_path: Path, url: str) -> None:
    cause = fails_for_good({**faulty("a fox"), "url": url}, tmp_path / "clips" / "fox.mp4")
    assert isinstance(cause, errors.UntrustedUrl)
    assert "media_hosts" in str(cause)


def test_a_host_that_the_connection_names_may_be_fetched_from(
    faulty: Callable[[str], Video], emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = faulty("a fox")
    port = emulator.queue_url.rpartition(":")[2]
    elsewhere = {**video, "url": video["url"].replace("127.0.0.1", "localhost")}
    assert isinstance(fails_for_good(elsewhere, tmp_path / "clips" / "fox.mp4"), errors.UntrustedUrl)
    connect(monkeypatch, emulator.queue_url, media_hosts=f"cdn.example.com, localhost:{port}")
    save(elsewhere, tmp_path / "fox.mp4")


def test_an_allowed_name_that_leads_inside_gets_no_call(
    faulty: Callable[[str], Video], emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = faulty("a fox")
    port = emulator.queue_url.rpartition(":")[2]
    connect(monkeypatch, "https://1.1.1.1", media_hosts=f"localhost:{port}")  # a public queue
    monkeypatch.setattr("airflow_provider_pika.fal.client.FalQueue.remember", lambda *_: None)
    inside = {**video, "url": video["url"].replace("127.0.0.1", "localhost")}
    cause = fails_for_good(inside, tmp_path / "clips" / "fox.mp4")
    assert isinstance(cause, errors.UntrustedUrl)
    assert "not public" in str(cause)
    assert emulator.file_requests() == []


FULL = """
import json, resource, signal, sys
sys.path.insert(0, {root!r})
from tests.support.saving import save
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    save(json.loads(sys.argv[1]), sys.argv[2])
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_disk_that_takes_no_more_fails_so_that_a_retry_can_help(
    faulty: Callable[[str], Video], tmp_path: Path
) -> None:
    video = faulty("a fox")
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", FULL.format(root=root), json.dumps(video), str(tmp_path / "clips" / "fox.mp4")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "StorageFailed" in said, said
    assert "could not be written: OSError: [Errno 27] File too large" in said
    assert "retry downloads and writes it again" in said
    assert names_in(tmp_path / "clips") == []


def test_a_folder_that_cannot_be_written_fails_so_that_a_retry_can_help(
    faulty: Callable[[str], Video], tmp_path: Path
) -> None:
    (tmp_path / "clips").write_text("a file where a folder should be")
    with pytest.raises(errors.StorageFailed, match="Not a directory"):
        save(faulty("a fox"), tmp_path / "clips" / "deep" / "fox.mp4")


FLAT = """
import json, resource, sys
sys.path.insert(0, {root!r})
from tests.support.saving import save
save(json.loads(sys.argv[1]), sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(save(json.loads(sys.argv[3]), sys.argv[4])["bytes"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.soak
def test_a_large_file_lands_with_flat_memory(faulty: Callable[[str], Video], tmp_path: Path) -> None:
    bytes_of_large = size(200_000_000, 2_000_000_000)
    small, large = faulty("a fox"), faulty(f"a whale [[large_file bytes={bytes_of_large}]]")
    arguments = [json.dumps(small), str(tmp_path / "fox.mp4"), json.dumps(large), str(tmp_path / "whale.mp4")]
    command = [sys.executable, "-c", FLAT.format(root=str(Path(__file__).parents[2])), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    landed, grown_kib = map(int, done.stdout.split()[-2:])
    assert landed == bytes_of_large == (tmp_path / "whale.mp4").stat().st_size
    assert grown_kib < 50 * 1024
    assert metadata_beside(tmp_path / "whale.mp4")["seconds"] == 5.0
