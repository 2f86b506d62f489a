from __future__ import annotations

import pytest

from airflow_provider_pika.exceptions import InvalidInput, UntrustedUrl
from airflow_provider_pika.media.trust import MediaHost, Trust

FAL = Trust.of(None)
EMULATOR = Trust.of("http://127.0.0.1:8188", ["cdn.example.com", "*.example.org", "store.internal:8443"])


@pytest.mark.parametrize(
    "url",
    [
        "https://v3.fal.media/files/b/0a1b2c3d/clip.mp4",
        "https://v3b.fal.media/files/b/0a1b2c3d/clip.mp4?identity=x",
        "https://fal.media/files/monkey/clip.mp4",
        "https://fal.media:443/files/monkey/clip.mp4",
        "https://storage.googleapis.com/falserverless/example_outputs/pika/pika_t2v_v22_output.mp4",
    ],
)
def test_fals_own_media_hosts_are_allowed_without_a_word_in_the_connection(url: str) -> None:
    FAL.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/clip.mp4",
        "https://fal.media.evil.example/clip.mp4",
        "https://evilfal.media/clip.mp4",
        "https://fal.media@evil.example/clip.mp4",
        "https://user:secret@fal.media/clip.mp4",
        "https://fal.media:8443/clip.mp4",
        "https://storage.googleapis.com/somebody-elses/clip.mp4",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:8188/clip.mp4",
        "http://[::1]/clip.mp4",
        "ftp://fal.media/clip.mp4",
        "file:///etc/passwd",
        "https:///clip.mp4",
        "https://fal.media\\@evil.example/clip.mp4",
        "https://fal.media:99999/clip.mp4",
        "not a url",
        "",
    ],
)
def test_any_other_host_scheme_or_port_is_refused(url: str) -> None:
    with pytest.raises(UntrustedUrl):
        FAL.check(url)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8188/files/b/x/y.mp4", True),
        ("http://127.0.0.1:8189/files/b/x/y.mp4", False),
        ("https://cdn.example.com/y.mp4", True),
        ("https://a.b.example.org/y.mp4", True),
        ("https://example.org/y.mp4", False),
        ("https://store.internal:8443/y.mp4", True),
        ("https://store.internal/y.mp4", False),
        ("https://v3.fal.media/y.mp4", True),
    ],
)
def test_a_connection_allows_its_own_host_and_port_and_what_it_names(url: str, allowed: bool) -> None:
    if allowed:
        EMULATOR.check(url)
    else:
        with pytest.raises(UntrustedUrl, match="no media host of this connection"):
            EMULATOR.check(url)


@pytest.mark.parametrize(
    "text", ["", "https://cdn.example.com", "*", "*.", "a*b.com", "*.com*", "user@host", "host:port", "host?x=1"]
)
def test_a_media_host_that_cannot_be_one_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="media host"):
        MediaHost.read(text)


PRIVATE = ["10.0.0.5", "192.168.1.1", "127.0.0.1", "::1", "fd00::1", "169.254.169.254", "fe80::1%eth0", "100.64.0.1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_public_name_may_not_lead_to_an_address_inside(address: str) -> None:
    with pytest.raises(UntrustedUrl, match="not public"):
        FAL.check_address("https://v3.fal.media/y.mp4", address)


INSIDE_IPV6 = [
    "::ffff:10.0.0.5",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a00:5::1",
    "::10.0.0.5",
    "::ffff:0:10.0.0.5",
    "fec0::1",
    "ff02::1",
    "224.0.0.1",
]


@pytest.mark.parametrize("address", INSIDE_IPV6)
def test_an_ipv4_address_in_an_ipv6_one_is_seen_through(address: str) -> None:
    with pytest.raises(UntrustedUrl, match="not public"):
        FAL.check_address("https://v3.fal.media/y.mp4", address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_a_public_address_is_allowed(address: str) -> None:
    FAL.check_address("https://v3.fal.media/y.mp4", address)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("müller.example", "https://xn--mller-kva.example/y.mp4"),
        ("CDN.example.com.", "https://cdn.example.com/y.mp4"),
        ("cdn.example.com", "https://cdn.example.com./y.mp4"),
        ("[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080/y.mp4"),
    ],
)
def test_a_host_is_the_same_however_it_is_written(host: str, url: str) -> None:
    Trust.of(None, [host]).check(url)


def test_the_connections_own_host_may_be_inside() -> None:
    EMULATOR.check_address("http://127.0.0.1:8188/y.mp4", "127.0.0.1")


def test_where_the_connection_is_inside_its_media_hosts_may_be_too_but_not_link_local() -> None:
    EMULATOR.check_address("https://store.internal:8443/y.mp4", "10.0.0.5")
    with pytest.raises(UntrustedUrl, match="not public"):
        EMULATOR.check_address("https://store.internal:8443/y.mp4", "169.254.169.254")


def test_where_the_connection_is_outside_its_media_hosts_must_be_too() -> None:
    outside = Trust.of("https://1.1.1.1", ["store.internal:8443"])
    with pytest.raises(UntrustedUrl, match="not public"):
        outside.check_address("https://store.internal:8443/y.mp4", "10.0.0.5")
