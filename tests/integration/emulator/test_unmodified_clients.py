"""fal's own clients, and the usage examples of the endpoint's page, against an emulator that they take for fal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.emulator import RunningEmulator

CURL_EXAMPLE = r"""
curl --request POST \
  --url https://fal.run/fal-ai/pika/v2.5/text-to-video \
  --header "Authorization: Key $FAL_KEY" \
  --header "Content-Type: application/json" \
  --data '{
     "prompt": "A young woman in a pale blue corset and denim, her vibrant blue bob framed against a dusky desert landscape, walks slowly, her gaze unwavering and enigmatic as the camera remains fixed on her deliberate pace."
   }'
"""  # noqa: E501

PYTHON_EXAMPLE = """
import fal_client

def on_queue_update(update):
    if isinstance(update, fal_client.InProgress):
        for log in update.logs:
           print(log["message"])

result = fal_client.subscribe(
    "fal-ai/pika/v2.5/text-to-video",
    arguments={
        "prompt": "A young woman in a pale blue corset and denim, her vibrant blue bob framed against a dusky desert landscape, walks slowly, her gaze unwavering and enigmatic as the camera remains fixed on her deliberate pace."
    },
    with_logs=True,
    on_queue_update=on_queue_update,
)
print(result)
"""  # noqa: E501

JAVASCRIPT_EXAMPLE = """
import { fal } from "@fal-ai/client";

const result = await fal.subscribe("fal-ai/pika/v2.5/text-to-video", {
  input: {
    prompt: "A young woman in a pale blue corset and denim, her vibrant blue bob framed against a dusky desert landscape, walks slowly, her gaze unwavering and enigmatic as the camera remains fixed on her deliberate pace."
  },
  logs: true,
  onQueueUpdate: (update) => {
    if (update.status === "IN_PROGRESS") {
      update.logs.map((log) => log.message).forEach(console.log);
    }
  },
});
console.log(result.data);
console.log(result.requestId);
"""  # noqa: E501

#: The JavaScript client has no setting for its hosts, so this changes them in ``fetch``.
REDIRECT = """
const hosts = { "https://queue.fal.run/": process.env.QUEUE_URL, "https://fal.run/": process.env.RUN_URL };
const send = globalThis.fetch;
globalThis.fetch = (input, init) => {
  const url = String(input?.url ?? input);
  const host = Object.keys(hosts).find((each) => url.startsWith(each));
  if (!host) throw new Error(`${url} is not fal`);
  return send(hosts[host] + "/" + url.slice(host.length), init);
};
"""

#: In place of a line in the hosts file and of port 443, which a test may not have: fal's names lead to the emulator,
#: and no other name leads anywhere.
HOSTS_LINE = """
import os, socket

SERVED = ("queue.fal.run", "fal.run", "api.fal.ai", "rest.fal.ai", "v3b.fal.media")
resolve, connect = socket.getaddrinfo, socket.socket.connect

def getaddrinfo(host, *others, **options):
    name = host.decode() if isinstance(host, bytes) else host
    assert name in (*SERVED, "127.0.0.1"), f"{name} is not in the hosts file"
    return resolve("127.0.0.1", *others, **options)

def connect_to_the_emulator(self, address):
    return connect(self, ("127.0.0.1", int(os.environ["PORT"])) if address[1:] == (443,) else address)

socket.getaddrinfo, socket.socket.connect = getaddrinfo, connect_to_the_emulator
"""

#: The same for the JavaScript client.
JAVASCRIPT_HOSTS_LINE = """
import net from "node:net";

const served = ["queue.fal.run", "fal.run", "v3b.fal.media"];
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...given) {
  const options = Array.isArray(given[0]) ? given[0][0] : given[0];
  if (!served.includes(options.host)) throw new Error(`${options.host} is not in the hosts file`);
  Object.assign(options, { host: "127.0.0.1", port: Number(process.env.PORT) });
  return connect.apply(this, given);
};
"""

#: What follows a submission of fal-client: the file, the history and the key of webhooks, each on fal's own host.
BUILT_IN_HOSTS = """
import httpx, json

urls = [handle.status_url, handle.response_url, handle.cancel_url, result["video"]["url"]]
assert len(httpx.get(urls[-1]).content) == result["video"]["file_size"]
url = "https://api.fal.ai/v1/models/requests/by-endpoint"
asked = {"endpoint_id": "fal-ai/pika/v2.5/text-to-video", "request_id": handle.request_id}
history = httpx.get(url, params=asked, headers={"Authorization": "Key some-id:some-secret"}).json()
assert [row["request_id"] for row in history["items"]] == [handle.request_id]
assert httpx.get("https://rest.fal.ai/.well-known/jwks.json").json()["keys"]
try:
    fal_client.upload(b"a picture", "image/png")
except Exception as error:
    told = error.response.json()["detail"]
print(json.dumps({"hosts": sorted({httpx.URL(url).host for url in urls}), "told": told}))
"""

ASYNC_SUBMISSION = """
import asyncio, fal_client

async def main():
    await fal_client.run_async("fal-ai/pika/v2.5/text-to-video", {"prompt": "a cat", "resolution": "480p"})
    handle = await fal_client.submit_async("fal-ai/pika/v2.5/text-to-video", {"prompt": "a cat", "resolution": "480p"})
    return handle, await handle.get()

handle, result = asyncio.run(main())
"""

SYNC_SUBMISSION = """
import fal_client

fal_client.run("fal-ai/pika/v2.5/text-to-video", {"prompt": "a cat", "resolution": "480p"})
handle = fal_client.submit("fal-ai/pika/v2.5/text-to-video", {"prompt": "a cat", "resolution": "480p"})
result = handle.get()
"""

ASYNC_CLIENT = """
import asyncio, fal_client, json

async def main():
    seen = []
    result = await fal_client.subscribe_async(
        "fal-ai/pika/v2.5/text-to-video", {"prompt": "a cat", "resolution": "480p"}, with_logs=True,
        on_queue_update=seen.append,
    )
    handle = await fal_client.submit_async("fal-ai/pika/v2.5/text-to-video", {"prompt": "a cat [[never_finish]]"})
    await handle.cancel()
    states = [type(await handle.status()).__name__, *{type(update).__name__ for update in seen}]
    print(json.dumps({"url": result["video"]["url"], "states": states}))

asyncio.run(main())
"""

SYNC_CLIENT = """
import fal_client, json

run = fal_client.run("fal-ai/pika/v2.5/text-to-video", {"prompt": "a cat", "resolution": "480p"})
handle = fal_client.submit("fal-ai/pika/v2.5/text-to-video", {"prompt": 5}, start_timeout=5, priority="low")
try:
    handle.get()
except fal_client.FalClientHTTPError as error:
    refused = [error.status_code, error.message[0]["type"]]
print(json.dumps({"url": run["video"]["url"], "refused": refused}))
"""


@pytest.fixture(scope="module")
def fal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    with RunningEmulator.start(tmp_path_factory.mktemp("fal"), tls=True, keys=["some-id:some-secret"]) as emulator:
        yield emulator
        assert emulator.stderr == ""


@pytest.fixture
def environment(fal: RunningEmulator, tmp_path: Path) -> dict[str, str]:
    """Return what a user sets to point fal's clients at an emulator, without this machine's own fal settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FAL_")}
    return {
        **kept,
        "FAL_KEY": "some-id:some-secret",
        "FAL_HOME_DIR": str(tmp_path),
        "FAL_QUEUE_RUN_HOST": fal.queue_url.removeprefix("https://"),
        "FAL_RUN_HOST": fal.run_url.removeprefix("https://"),
        "SSL_CERT_FILE": str(fal.ca_file),
        "CURL_CA_BUNDLE": str(fal.ca_file),
        "NODE_EXTRA_CA_CERTS": str(fal.ca_file),
        "QUEUE_URL": fal.queue_url,
        "RUN_URL": fal.run_url,
        "NO_PROXY": "127.0.0.1",
    }


@pytest.fixture
def built_in(fal: RunningEmulator, environment: dict[str, str]) -> dict[str, str]:
    """Return what is left to set where fal's hosts lead to the emulator: the CA, and nothing about hosts."""
    ours = ("FAL_QUEUE_RUN_HOST", "FAL_RUN_HOST", "QUEUE_URL", "RUN_URL")
    kept = {name: value for name, value in environment.items() if name not in ours}
    return {**kept, "PORT": fal.queue_url.rsplit(":", 1)[1], "NO_PROXY": "*"}


def said(command: list[str], environment: Mapping[str, str], folder: Path) -> str:
    """Run a program that must end well, and return what it prints."""
    done = subprocess.run(
        command, env=dict(environment), cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def download(fal: RunningEmulator, url: str) -> bytes:
    with fal.client() as client:
        return client.get(url).raise_for_status().content


def test_the_curl_example_works(fal: RunningEmulator, environment: dict[str, str], tmp_path: Path) -> None:
    example = CURL_EXAMPLE.replace("https://fal.run", fal.run_url)
    video = json.loads(said(["bash", "-c", example], environment, tmp_path))["video"]
    assert len(download(fal, video["url"])) == video["file_size"]


def test_the_python_example_works(fal: RunningEmulator, environment: dict[str, str], tmp_path: Path) -> None:
    printed = said([sys.executable, "-c", PYTHON_EXAMPLE], environment, tmp_path)
    assert "Starting generation" in printed
    assert "Rendered 24/120 frames" in printed
    assert f"{{'video': {{'url': '{fal.queue_url}/files/b/" in printed


@pytest.fixture(scope="module")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with fal's JavaScript client and the example."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not on the PATH")
    folder = tmp_path_factory.mktemp("javascript")
    install = [npm, "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder)]
    said([*install, "@fal-ai/client@1.10.1"], os.environ, folder)
    (folder / "redirect.mjs").write_text(REDIRECT)
    (folder / "hosts.mjs").write_text(JAVASCRIPT_HOSTS_LINE)
    (folder / "example.mjs").write_text(JAVASCRIPT_EXAMPLE)
    return folder


@pytest.mark.parametrize("way", ["redirect", "hosts"])
def test_the_javascript_example_works(
    fal: RunningEmulator, environment: dict[str, str], built_in: dict[str, str], javascript: Path, way: str
) -> None:
    variables = environment if way == "redirect" else built_in
    printed = said(["node", "--import", f"./{way}.mjs", "example.mjs"], variables, javascript)
    (request,) = [each for each in fal.requests("A young woman") if each["request_id"] in printed]
    assert "Starting generation" in printed
    assert request["output"]["video"]["url"] in printed
    assert (way == "hosts") == request["output"]["video"]["url"].startswith("https://v3b.fal.media/")


def test_the_curl_example_works_as_it_is(built_in: dict[str, str], tmp_path: Path) -> None:
    """``connect-to`` is curl's own line of a hosts file, with the port."""
    (tmp_path / ".curlrc").write_text(f'connect-to = "::127.0.0.1:{built_in["PORT"]}"\n')
    variables = {**built_in, "CURL_HOME": str(tmp_path)}
    video = json.loads(said(["bash", "-c", CURL_EXAMPLE], variables, tmp_path))["video"]
    assert video["url"].startswith("https://v3b.fal.media/")
    size = said(["bash", "-c", f"curl --silent {video['url']} | wc -c"], variables, tmp_path)
    assert int(size) == video["file_size"]


@pytest.mark.parametrize("submission", [SYNC_SUBMISSION, ASYNC_SUBMISSION], ids=["sync", "async"])
def test_fal_client_with_its_built_in_hosts_needs_a_hosts_file_and_the_ca(
    built_in: dict[str, str], tmp_path: Path, submission: str
) -> None:
    printed = said([sys.executable, "-c", HOSTS_LINE + submission + BUILT_IN_HOSTS], built_in, tmp_path)
    told = json.loads(printed)
    assert told["hosts"] == ["queue.fal.run", "v3b.fal.media"]
    assert "does not serve POST /storage/" in told["told"]


def test_the_synchronous_client_runs_and_is_told_what_is_wrong(
    fal: RunningEmulator, environment: dict[str, str], tmp_path: Path
) -> None:
    told = json.loads(said([sys.executable, "-c", SYNC_CLIENT], environment, tmp_path))
    assert download(fal, told["url"])
    assert told["refused"] == [422, "string_type"]


def test_the_asynchronous_client_subscribes_and_cancels(
    fal: RunningEmulator, environment: dict[str, str], tmp_path: Path
) -> None:
    told = json.loads(said([sys.executable, "-c", ASYNC_CLIENT], environment, tmp_path))
    assert download(fal, told["url"])
    assert told["states"][0] == "Completed"
    assert "InProgress" in told["states"]


def test_a_client_that_repeats_a_lost_submission_pays_twice(
    fal: RunningEmulator, environment: dict[str, str], tmp_path: Path
) -> None:
    """fal_client repeats the POST when the reply is lost, so this project does not submit with it."""
    program = (
        "import fal_client; fal_client.submit('fal-ai/pika/v2.5/text-to-video', {'prompt': 'dear [[lost_reply]]'})"
    )
    said([sys.executable, "-c", program], environment, tmp_path)
    assert len(fal.requests("dear")) == 2
