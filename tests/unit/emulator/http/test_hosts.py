"""Which names the emulator answers to."""

from __future__ import annotations

import pytest

from airflow_provider_pika.emulator.http.hosts import host_of, is_always_served, media_origin, normal


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("localhost", "localhost"),
        ("LocalHost.:8188", "localhost"),
        ("127.0.0.1:8188", "127.0.0.1"),
        ("[::1]:8188", "::1"),
        ("[0:0::1]", "::1"),
        ("[::ffff:127.0.0.1]:80", "127.0.0.1"),
        ("fal_emulator:80", "fal_emulator"),
        ("a.b:", "a.b"),
    ],
)
def test_a_host_is_read_in_any_way_of_writing_it(authority: str, host: str) -> None:
    assert host_of(authority) == host


@pytest.mark.parametrize(
    "authority",
    [
        "",
        ":8188",
        "127.0.0.1@evil.example",
        "evil.example#.localhost",
        "evil.example/localhost",
        "localhost:80:90",
        "localhost:http",
        "localhost evil.example",
        "localhost,evil.example",
        "[evil.example]",
        "[::1",
        "::1",
        "löcalhost",
        "localhost\n",
    ],
)
def test_what_is_no_host_is_none(authority: str) -> None:
    assert host_of(authority) is None


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "api.localhost",
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "queue.fal.run",
        "fal.run",
        "queue.falrun.com",
        "v3.fal.media",
    ],
)
def test_loopback_and_fal_are_always_served(host: str) -> None:
    assert is_always_served(normal(host))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "notlocalhost",
        "127.0.0.1.nip.io",
        "xfal.run",
        "fal.run.evil.example",
        "0.0.0.0",
        "192.168.1.5",
        "169.254.169.254",
        "::",
        "fe80::1",
    ],
)
def test_no_other_name_is(host: str) -> None:
    assert not is_always_served(normal(host))


@pytest.mark.parametrize(
    ("origin", "files"),
    [
        ("https://queue.fal.run", "https://v3b.fal.media"),
        ("https://queue.fal.run:8188", "https://v3b.fal.media:8188"),
        ("http://FAL.run:80", "http://v3b.fal.media:80"),
        ("https://falrun.com", "https://v3b.fal.media"),
        ("http://127.0.0.1:8188", "http://127.0.0.1:8188"),
        ("https://localhost", "https://localhost"),
        ("https://xfal.run", "https://xfal.run"),
        ("http://[::1]:8188", "http://[::1]:8188"),
    ],
)
def test_files_are_on_the_origin_of_the_request_or_on_the_host_that_fal_has_for_them(origin: str, files: str) -> None:
    assert media_origin(origin) == files
