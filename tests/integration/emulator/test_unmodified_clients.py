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
"""The JavaScript client has no setting for its hosts, so that they are changed under its feet, in ``fetch``."""

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
    """What a user sets to point fal's clients at an emulator, and nothing of this machine's own fal settings."""
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


def said(command: list[str], environment: Mapping[str, str], folder: Path) -> str:
    """What a program prints, if it ends well."""
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


def test_the_javascript_example_works(fal: RunningEmulator, environment: dict[str, str], tmp_path: Path) -> None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not on the PATH")
    install = [npm, "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(tmp_path)]
    said([*install, "@fal-ai/client@1.10.1"], os.environ, tmp_path)
    (tmp_path / "redirect.mjs").write_text(REDIRECT)
    (tmp_path / "example.mjs").write_text(JAVASCRIPT_EXAMPLE)
    printed = said([node, "--import", "./redirect.mjs", "example.mjs"], environment, tmp_path)
    (request,) = [each for each in fal.requests("A young woman") if each["request_id"] in printed]
    assert "Starting generation" in printed
    assert request["output"]["video"]["url"] in printed


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
    """Why this project does not submit with fal_client: it repeats the POST when the reply is lost."""
    program = (
        "import fal_client; fal_client.submit('fal-ai/pika/v2.5/text-to-video', {'prompt': 'dear [[lost_reply]]'})"
    )
    said([sys.executable, "-c", program], environment, tmp_path)
    assert len(fal.requests("dear")) == 2
