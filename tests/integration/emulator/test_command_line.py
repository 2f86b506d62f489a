"""The command line: what it prints when it listens, and one line for whatever prevents that."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.integration.emulator.talk import Caller
from tests.support.emulator import RunningEmulator
from tests.support.forked import Forked, run_to_the_end

Done = subprocess.CompletedProcess[str]


def run_as_a_person_does(arguments: Sequence[str]) -> Done:
    command = [sys.executable, "-m", "airflow_provider_pika.emulator", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def fail(*arguments: str, run: Callable[[Sequence[str]], Done] = run_to_the_end) -> str:
    """Run it to its end: exit code 2 and nothing but one line on stderr, which is returned."""
    done = run(arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    return done.stderr


def printed(process: Any, lines: int) -> list[str]:
    return [process.stdout.readline().rstrip("\n") for _ in range(lines)]


def test_it_says_where_it_listens_once_it_does(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "airflow_provider_pika.emulator", "--port", "0", "--data", str(tmp_path / "data")]
    process = subprocess.Popen([*command, "--key", "a", "--key", "b"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = printed(process, 7)
    queue, run = lines[1].split()[1], lines[2].split()[1]
    for url in (queue, run):
        assert httpx.post(f"{url}/fal-ai/pika", headers={"Authorization": "Key c"}).status_code == 401
    process.terminate()
    process.wait(5)
    process.stdout.close()
    assert queue != run
    assert lines == [
        "fal emulator ready",
        f"  queue     {queue}",
        f"  run       {run}",
        f"  platform  {queue}/v1",
        f"  admin     {queue}/_emulator",
        f"  data      {tmp_path / 'data'}",
        "  keys      2 accepted",
    ]


@pytest.mark.parametrize(
    ("host", "called", "keys", "password"),
    [
        ("127.0.0.1", "127.0.0.1", [], "any"),
        ("localhost", "localhost", [], "any"),
        ("0.0.0.0", "127.0.0.1", ["--key", "id:secret"], "YOUR_KEY"),
    ],
)
def test_it_prints_the_command_that_adds_its_connection(
    tmp_path: Path, host: str, called: str, keys: list[str], password: str
) -> None:
    options = ["--host", host, "--port", "0", "--data", str(tmp_path / "data"), *keys]
    with tempfile.TemporaryFile() as stderr:
        process = Forked(options, stderr)
    lines = printed(process, 10)
    process.send_signal(signal.SIGTERM)
    process.wait(5)
    process.stdout.close()
    port = lines[1].rpartition(":")[2]
    address = f"--conn-host http://{called}:{port} --conn-password {password}"
    assert lines[-2:] == [
        "To use it from Airflow:",
        f"airflow connections add pika_default --conn-type pika {address}",
    ]


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = fail("--port", port, "--run-port", "0", "--data", str(tmp_path / "one"))
        assert f"port {port} is in use" in line
        line = fail("--port", "0", "--run-port", port, "--data", str(tmp_path / "two"))
        assert "--run-port" in line


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    assert "cannot listen on 192.0.2.1" in fail("--host", "192.0.2.1", "--port", "0", "--data", str(tmp_path))


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    folder = str(tmp_path / "file" / "data")
    line = fail("--port", "0", "--data", folder)
    assert folder in line
    assert "--data" in line


def test_a_data_folder_with_something_else_in_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "emulator.sqlite3").write_text("not a database, and long enough to be taken for one" * 100)
    assert "not a database" in fail("--port", "0", "--data", str(tmp_path))


def test_a_data_folder_in_use_is_named(emulator: RunningEmulator) -> None:
    assert "another emulator" in fail("--port", "0", "--data", str(emulator.data))


@pytest.mark.parametrize(
    ("arguments", "hint", "run"),
    [
        (["--port", "x"], "0 to 65535", run_as_a_person_does),
        (["--generation-time", "6-2"], "shorter time first", run_to_the_end),
    ],
)
def test_a_bad_option_is_named(arguments: list[str], hint: str, run: Any) -> None:
    assert hint in fail(*arguments, run=run)


def test_a_missing_extra_says_what_to_install(tmp_path: Path) -> None:
    """Without the extra, a module of that name cannot be imported."""
    program = (
        "import sys; sys.modules['av'] = None\n"
        "from airflow_provider_pika.emulator.__main__ import main\n"
        "sys.exit(main(['--port', '0']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr == "fal emulator: av is not installed: pip install 'airflow-provider-pika[emulator]'\n"


def test_only_accepted_keys_come_in(tmp_path: Path) -> None:
    with RunningEmulator.start(tmp_path, keys=["good:1", "good:2"]) as emulator:
        assert [Caller(emulator, key).post("a cat").status_code for key in ("good:1", "good:2", "bad")] == [
            200,
            200,
            401,
        ]


UNSTORED = {"X-Fal-Store-IO": "0"}


@pytest.mark.parametrize(
    ("options", "headers", "result"),
    [
        (["--result-ttl", "0"], UNSTORED, 404),
        (["--result-ttl", "0"], {}, 200),
        (["--result-ttl", "0"], {"X-Fal-Store-IO": "1"}, 200),
        (["--result-ttl", "0", "--payload-ttl", "0"], {}, 404),
        (["--payload-ttl", "0"], {}, 200),
        ([], UNSTORED, 200),
    ],
)
def test_a_result_stays_as_long_as_the_queue_or_the_storage_has_it(
    tmp_path: Path, options: list[str], headers: dict[str, str], result: int
) -> None:
    with RunningEmulator.start(tmp_path, generation_time="0.1", extra=["--render", "off", *options]) as emulator:
        caller = Caller(emulator)
        request_id = caller.submit("a cat", headers=headers)
        status = caller.until(request_id, "COMPLETED")
        reply = caller.result(request_id)
        assert reply.status_code == result
        assert result == 200 or reply.json() == {"status": "NOT_FOUND"}
        assert "error" not in status


def test_a_large_result_is_kept_for_a_tenth_of_the_time(tmp_path: Path) -> None:
    with RunningEmulator.start(tmp_path, generation_time="0.1", extra=["--result-ttl", "20"]) as emulator:
        caller = Caller(emulator)
        small, large = (
            caller.submit(f"{prompt} [[content_policy_violation]]", headers=UNSTORED) for prompt in ("x", "x" * 10_000)
        )
        for request_id in (small, large):
            caller.until(request_id, "COMPLETED")
        assert [caller.result(request_id).status_code for request_id in (small, large)] == [422, 422]
        time.sleep(2.1)
        assert [caller.result(request_id).status_code for request_id in (small, large)] == [422, 404]


def test_tls_comes_with_a_ca_that_outlives_a_restart(tmp_path: Path) -> None:
    with RunningEmulator.start(tmp_path, tls=True) as emulator:
        assert emulator.queue_url.startswith("https://")
        assert emulator.ca_file is not None
        trusted = ssl.create_default_context(cafile=emulator.ca_file)
        trusted.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does by default
        video = Caller(emulator).video("a cat")
        assert video["url"].startswith(emulator.queue_url)
        emulator.restart()
        for host in ("127.0.0.1", "localhost"):
            url = video["url"].replace("127.0.0.1", host)
            assert len(httpx.get(url, verify=trusted).content) == video["file_size"]
        with pytest.raises(httpx.ConnectError):
            httpx.get(video["url"])


def earlier_ca(folder: Path) -> Path:
    """Write a CA as earlier versions made it, with another name and another form of the key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fal emulator CA")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=3650))
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    for extension, critical in (
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (usage, True),
    ):
        builder = builder.add_extension(extension, critical=critical)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "ca-key.pem").write_bytes(pem)
    ca = folder / "ca.pem"
    ca.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    return ca


def test_a_ca_of_an_earlier_version_is_kept(tmp_path: Path) -> None:
    before = earlier_ca(tmp_path).read_bytes()
    trusted = ssl.create_default_context(cadata=before.decode())
    trusted.verify_flags |= ssl.VERIFY_X509_STRICT
    with RunningEmulator.start(tmp_path, tls=True) as emulator:
        assert httpx.get(f"{emulator.queue_url}/_emulator/counts", verify=trusted).status_code == 200
        assert emulator.ca_file is not None
        assert emulator.ca_file.read_bytes() == before


@pytest.mark.parametrize("name", ["fal_emulator", "a..b"])
def test_a_name_that_no_certificate_can_have_is_refused_with_tls(tmp_path: Path, name: str) -> None:
    line = fail("--tls", "--port", "0", "--data", str(tmp_path), "--allow-host", name)
    assert "a certificate cannot have this name" in line
    assert "letters, digits and hyphens" in line


@pytest.mark.parametrize("name", ["ca.pem", "ca-key.pem"])
def test_a_ca_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with RunningEmulator.start(tmp_path, tls=True):
        pass
    (tmp_path / name).write_text("no PEM")
    assert f"cannot use the keys in {tmp_path}" in fail("--tls", "--port", "0", "--data", str(tmp_path))


@pytest.mark.parametrize("fault", ["lost_reply", "reset"])
def test_connections_drop_under_tls_too(tmp_path: Path, fault: str) -> None:
    with RunningEmulator.start(tmp_path, tls=True) as emulator:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            Caller(emulator).post(f"a cat [[{fault}]]")
        assert len(emulator.requests("a cat")) == (1 if fault == "lost_reply" else 0)
        emulator.stop()
        assert emulator.stderr == ""


def test_a_misspelt_fault_is_said_so(tmp_path: Path) -> None:
    with RunningEmulator.start(tmp_path) as emulator:
        Caller(emulator).post("a cat [[htp_500]]")
        assert "[[htp_500]] is no fault, and stays text" in emulator.stderr


def test_a_start_that_fails_leaves_no_folder_behind(emulator: RunningEmulator, tmp_path: Path) -> None:
    taken = emulator.queue_url.rsplit(":", 1)[1]
    fail("--port", taken, "--data", str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()
