from __future__ import annotations

import pytest

from airflow_provider_pika.exceptions import DownloadInterrupted, InvalidInput, UntrustedUrl
from airflow_provider_pika.media.url_policy import MediaHost, Trust, public_url

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


STORE = "https://store.internal:8443/y.mp4"

METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::a9fe:a9fe",
    "::ffff:169.254.169.254",
    "::ffff:168.63.129.16",
    "::168.63.129.16",
    "::ffff:0:100.100.100.200",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::a83f:8110",
    "64:ff9b:1::6464:64c8",
    "64:ff9b:1:a9fe:a9:fe00::",
    "2002:a83f:8110::1",
    "2002:a9fe:a9fe::",
    "2001:0:1:1::57c0:7eef",
    "fd00:1::5efe:a9fe:a9fe",
]

EVERYWHERE = ["store.internal:8443", "0.0.0.0/0", "::/0"]


def test_where_the_connection_is_inside_its_media_hosts_may_have_its_own_address_and_no_other_private_one() -> None:
    EMULATOR.check_address(STORE, "127.0.0.1")
    for address in ("10.0.0.5", "127.0.0.2", "192.168.1.1", "::1", "fd00::1", "100.64.0.1", "169.254.169.254"):
        with pytest.raises(UntrustedUrl, match="not public"):
            EMULATOR.check_address(STORE, address)
    EMULATOR.check_address(STORE, "1.1.1.1")


@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize("queue_url", [None, "http://127.0.0.1:8188", "http://localhost:8188", "https://10.0.0.5"])
def test_an_address_where_clouds_keep_secrets_is_refused_whatever_the_connection_names(
    address: str, queue_url: str | None
) -> None:
    trust = Trust.of(queue_url, [*EVERYWHERE, address])
    for url in (STORE, "https://v3.fal.media/y.mp4"):
        with pytest.raises(UntrustedUrl, match="not public"):
            trust.check_address(url, address)
    with pytest.raises(UntrustedUrl, match="not public"):
        trust.check(f"http://[{address}]/y.mp4" if ":" in address else f"http://{address}/y.mp4")


def test_an_address_where_clouds_keep_secrets_is_the_affair_of_a_connection_whose_own_it_is() -> None:
    trust = Trust.of("http://169.254.169.254", ["store.internal:8443"])
    trust.check("http://169.254.169.254/y.mp4")
    trust.check_address("http://169.254.169.254/y.mp4", "169.254.169.254")
    trust.check_address(STORE, "169.254.169.254")
    with pytest.raises(UntrustedUrl, match="not public"):
        trust.check_address(STORE, "169.254.170.2")


def test_a_network_says_which_private_addresses_the_named_hosts_may_have() -> None:
    trust = Trust.of(None, ["store.internal:8443", "10.20.0.0/16", "fd00:1::/64"])
    for address in ("10.20.3.4", "fd00:1::7", "::ffff:10.20.3.4", "1.1.1.1"):
        trust.check_address(STORE, address)
    for address in ("10.21.0.1", "fd00:2::7", "127.0.0.1"):
        with pytest.raises(UntrustedUrl, match=r"not public.*media_hosts"):
            trust.check_address(STORE, address)
    with pytest.raises(UntrustedUrl, match="not public"):
        trust.check_address("https://v3.fal.media/y.mp4", "10.20.3.4")  # not named: fal's, which is outside
    with pytest.raises(UntrustedUrl, match="no media host"):
        trust.check("http://10.20.3.4/y.mp4")  # a network is no host


@pytest.mark.parametrize("entry", ["10.0.0.7", "fd00::7", "[fd00::7]", "10.0.0.7/", "FD00:0::7"])
def test_an_address_alone_is_a_host_and_says_that_the_named_hosts_may_have_it(entry: str) -> None:
    trust = Trust.of(None, [entry, "store.internal:8443"])
    address = "fd00::7" if ":" in entry else "10.0.0.7"
    url = f"http://[{address}]/y.mp4" if ":" in entry else f"http://{address}/y.mp4"
    trust.check(url)
    trust.check_address(url, address)
    trust.check_address(STORE, address)
    with pytest.raises(UntrustedUrl, match="not public"):
        trust.check_address(STORE, "10.0.0.8")


def test_an_address_with_a_port_is_a_host_on_that_port() -> None:
    trust = Trust.of(None, ["10.0.0.7:9000", "[fd00::7]:9000"])
    trust.check("http://10.0.0.7:9000/y.mp4")
    trust.check("http://[fd00::7]:9000/y.mp4")
    with pytest.raises(UntrustedUrl, match="no media host"):
        trust.check("http://10.0.0.7/y.mp4")


def test_a_path_is_no_network() -> None:
    trust = Trust.of(None, ["store.internal/16", "10.0.0.7/files/"])
    trust.check("https://store.internal/16/y.mp4")
    trust.check("http://10.0.0.7/files/y.mp4")
    with pytest.raises(UntrustedUrl, match="no media host"):
        trust.check("http://10.0.0.7/y.mp4")


@pytest.mark.parametrize("entry", ["10.0.0.7/8", "fd00::1/64"])
def test_an_address_in_place_of_its_network_is_refused_since_it_would_let_in_more_than_it_says(entry: str) -> None:
    with pytest.raises(InvalidInput, match="its network is"):
        Trust.of(None, [entry])


class Resolver:
    """Answers for the own host what the test says, one answer a call."""

    def __init__(self, *answers: list[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, name: str, port: None) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        self.asked.append(name)
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return [(0, 0, 0, "", (address, 0)) for address in answer]


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str] | OSError) -> tuple[Trust, Resolver]:
    resolver = Resolver(*answers)
    monkeypatch.setattr("socket.getaddrinfo", resolver)
    return Trust.of("https://queue.internal", ["store.internal:8443"]), resolver


def test_the_own_hosts_name_is_looked_up_once_so_that_a_later_answer_widens_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trust, resolver = resolving(monkeypatch, ["10.0.0.5", "::ffff:10.0.0.6"], ["10.0.0.9"])
    trust.check_address(STORE, "1.1.1.1")
    trust.check_address("https://queue.internal/y.mp4", "10.0.0.9")  # its own affair
    assert resolver.asked == []
    trust.check_address(STORE, "10.0.0.5")
    trust.check_address(STORE, "10.0.0.6")
    with pytest.raises(UntrustedUrl, match="not public"):
        trust.check_address(STORE, "10.0.0.9")
    assert resolver.asked == ["queue.internal"]


def test_an_own_host_that_cannot_be_looked_up_lets_nothing_in_and_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trust, _ = resolving(monkeypatch, OSError("Temporary failure in name resolution"), ["10.0.0.5"])
    with pytest.raises(DownloadInterrupted, match="cannot be looked up"):
        trust.check_address(STORE, "10.0.0.5")
    trust.check_address(STORE, "10.0.0.5")


def test_an_own_name_that_leads_to_a_clouds_secrets_lets_no_other_host_there(monkeypatch: pytest.MonkeyPatch) -> None:
    trust, _ = resolving(monkeypatch, ["169.254.169.254"])
    with pytest.raises(UntrustedUrl, match="not public"):
        trust.check_address(STORE, "169.254.169.254")


def test_what_a_message_says_of_a_url_holds_no_secret_and_is_short() -> None:
    with pytest.raises(UntrustedUrl) as raised:
        FAL.check(f"https://user:secret@fal.media/{'x' * 10_000}?token=secret")
    assert "secret" not in raised.value.message
    assert len(raised.value.message) < 500


def test_where_the_connection_is_outside_its_media_hosts_must_be_too() -> None:
    outside = Trust.of("https://1.1.1.1", ["store.internal:8443"])
    with pytest.raises(UntrustedUrl, match="not public"):
        outside.check_address("https://store.internal:8443/y.mp4", "10.0.0.5")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://v3b.fal.media/files/b/x/y.mp4?identity=token&expires=1#t", "https://v3b.fal.media/files/b/x/y.mp4"),
        ("https://fal.media/files/monkey/y.mp4?a=b", "https://fal.media/files/monkey/y.mp4"),
        ("https://storage.googleapis.com/falserverless/y.mp4?X-Goog-Signature=t", "https://storage.googleapis.com/falserverless/y.mp4"),
        ("https://v3.fal.media/files/b/x/y.mp4", "https://v3.fal.media/files/b/x/y.mp4"),
        ("https://gateway.example/file?id=7", "https://gateway.example/file?id=7"),
        ("https://fal.media.evil.example/y.mp4?a=b", "https://fal.media.evil.example/y.mp4?a=b"),
    ],
)  # fmt: skip
def test_a_url_of_fals_is_kept_without_its_token_and_another_one_whole(url: str, kept: str) -> None:
    assert public_url(url) == kept
