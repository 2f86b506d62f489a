"""Airflow below a path, ``[api] base_url = http://host/airflow`` say: every address that a page has leads there."""

from __future__ import annotations

import html
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest

from airflow_provider_pika.links.pika import ClipLink, FileLink, RequestLink
from airflow_provider_pika.plugins.pika import PikaPlugin
from airflow_provider_pika.task.xcom import REVIEW
from tests.integration.pages.conftest import RUN, coordinates, dag
from tests.support.pages import JPEG, MP4, Rows, Server, entry, question, served, shown_of

#: Where Airflow is.
BELOW = "/airflow"

#: Every address of a page: of links, forms, pictures, clips, scripts, of what its script asks, and where it answers.
_ADDRESS = re.compile(r'\b(?:href|src|action|poster|data-watch|data-review|data-answer)="([^"#][^"]*)"')

#: The pages, each with the task instance that it is about.
PAGES: dict[str, dict[str, Any]] = {
    "clips": {},
    "clips?prompt=x": {},
    "clip": coordinates(),
    "clip of a batch": coordinates("save_all", item=1),
    "clip of a mapped task": coordinates("saves", map_index=2),
    "clip of a task that waits": coordinates("generate"),
    "clip of somebody else's task": coordinates("foreign"),
    "batch": coordinates("save_all"),
    "batch that is none": coordinates("save"),
    "review": coordinates("review"),
}


@pytest.fixture(scope="module")
def below(shared_server: Server, environment: dict[str, str]) -> Iterator[Server]:
    """The API server of a deployment that has a path in its ``base_url``."""
    api: Any = importlib.import_module("airflow.api_fastapi.app")
    simple: Any = importlib.import_module("airflow.api_fastapi.auth.managers.simple.simple_auth_manager")
    with pytest.MonkeyPatch.context() as patched:  # what they would have read of the setting when imported
        patched.setattr(api, "API_ROOT_PATH", f"{BELOW}/")
        for module in (api, simple):
            patched.setattr(module, "AUTH_MANAGER_FASTAPI_APP_PREFIX", f"{BELOW}/auth")
        for name, value in {**environment, "AIRFLOW__API__BASE_URL": f"http://localhost{BELOW}"}.items():
            patched.setenv(name, value)
        with served(api.create_app(apps="core")) as url:
            running = Server(f"{url}{BELOW}", tokens=dict(shared_server.tokens))
            yield running
            running.close()


@pytest.fixture
def some(rows: Rows, roots: Path) -> None:
    """Clips of every kind, a task that waits, and one that failed."""
    rows.run(dag(), RUN)
    path = roots / "fox.mp4"
    path.write_bytes(MP4)
    Path(f"{path}.jpg").write_bytes(JPEG)
    shown = entry(path, poster=f"{path}.jpg")
    manifest = roots / "manifest.jsonl"
    manifest.write_text("".join(json.dumps({**shown, "index": n, "state": "SAVED"}) + "\n" for n in range(60)))
    rows.push("clips", "save", shown)
    rows.push("clips", "saves", shown, map_index=2)
    batch = {"kind": "batch", "manifest": str(manifest), "total": 60, "saved": 60, "failed": 0, "bytes": 1, "cover": 0}
    rows.push("clips", "save_all", batch)
    rows.asked("clips", "generate", "a wait")
    rows.state("clips", "generate", "deferred")
    rows.waits("clips", "review")
    rows.push("clips", "review", question(shown_of(shown)), key=REVIEW)


def addresses(answer: httpx.Response) -> set[str]:
    """Return where all that a page has leads to."""
    return {urljoin(str(answer.url), html.unescape(found)) for found in _ADDRESS.findall(answer.text)}


@pytest.mark.parametrize("page", PAGES)
def test_every_address_of_a_page_leads_below_the_path_and_is_there(below: Server, some: None, page: str) -> None:
    client = below.client("decider")
    name = page.split(" ")[0]
    answer = client.get(f"/pika/{name}", params=PAGES[page] or None)
    assert answer.status_code == (404 if page.endswith("none") else 200)
    found = addresses(answer)
    assert any("/static/clips.js" in each for each in found)
    assert any(each.endswith("/hitlDetails") for each in found) == (name == "review")
    for each in found:
        assert urlsplit(each).path.startswith(f"{BELOW}/"), each
        there = client.get(each)
        assert there.status_code == 200, (each, there.text[-300:])
        if "/static/" in each or "/pika/" not in each:
            continue
        kinds = {"video": "video/mp4", "poster": "image/jpeg", "api": "application/json"}
        kind = kinds.get(urlsplit(each).path.split("/pika/")[1].split("/")[0], "text/html")
        assert there.headers["content-type"].startswith(kind), each


def test_who_signs_in_comes_back_to_the_page(below: Server, some: None) -> None:
    answer = below.client(None).get("/pika/clip", params=coordinates())
    assert answer.status_code == 401
    [sign_in] = [each for each in addresses(answer) if "login" in each]
    there = httpx.get(sign_in, trust_env=False)
    assert there.status_code == 307
    assert there.headers["location"].startswith(f"{BELOW}/auth/login?next=")
    [back] = parse_qs(urlsplit(there.headers["location"]).query)["next"]
    came_back = below.client().get(urljoin(below.url, back), follow_redirects=True)
    assert came_back.url.path == f"{BELOW}/pika/clip"
    assert dict(came_back.url.params) == coordinates()
    assert "<video" in came_back.text


def test_what_airflow_draws_of_the_plugin_is_there(below: Server, some: None) -> None:
    client = below.client()
    for view in PikaPlugin.external_views:
        for name in ("icon", "icon_dark_mode"):
            assert client.get(f"/{view[name]}").headers["content-type"] == "image/svg+xml"
        assert not view["href"].startswith("/")  # Airflow resolves it against its own address


@pytest.mark.parametrize("link", [ClipLink(), RequestLink(), FileLink()], ids=lambda link: str(link.name))
def test_a_link_of_a_task_leads_below_the_path(below: Server, some: None, link: Any) -> None:
    from airflow.models.taskinstancekey import TaskInstanceKey

    address = link.get_link(None, ti_key=TaskInstanceKey("clips", "save", RUN, 1, -1))
    there = below.client().get(urljoin(f"{below.url}/", address), follow_redirects=True)
    assert there.status_code == 200
    assert there.url.path.startswith(f"{BELOW}/pika/")
