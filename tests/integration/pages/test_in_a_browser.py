"""What a person sees of clips where something is not as it should be, and where there are many: in a real browser.

``tests/system`` has clips that a real Airflow made. These are entries of the index, so they cost no generation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Route, expect

from airflow_provider_pika.emulator.engine.clip import Clip, render
from airflow_provider_pika.plugins.pages import files
from tests.integration.pages.conftest import RUN, coordinates, dag
from tests.support.browser import CHROMIUM, Person, chromium, people
from tests.support.pages import JPEG, PASSWORD, Rows, Server, entry
from tests.support.s3 import RunningS3

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

#: Milliseconds that a page may take, on a busy machine.
SOON = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def somebody(browser: Browser, server: Server) -> Iterator[Callable[..., Person]]:
    """Return who opens a browser: a user by name, or None, who has not signed in."""
    with people(browser, SOON) as come:

        def opened(user: str | None = "viewer") -> Person:
            return come(server.url, server.token(user) if user else None)

        yield opened


@pytest.fixture(scope="module")
def playable(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A clip that a browser plays."""
    path: Path = tmp_path_factory.mktemp("drawn") / "fox.mp4"
    render(Clip(seed=7, prompt="a fox", width=160, height=90, frames=120), path)
    return path.read_bytes()


@pytest.fixture
def fox(rows: Rows, roots: Path, playable: bytes) -> dict[str, Any]:
    """A clip with its picture, saved below a root; its entry."""
    path = roots / "fox.mp4"
    path.write_bytes(playable)
    Path(f"{path}.jpg").write_bytes(JPEG)
    rows.run(dag(), RUN)
    return entry(path, playable, poster=f"{path}.jpg")


def url(server: Server, page: str, **names: Any) -> str:
    return f"{server.url}/pika/{page}?{urlencode(names)}"


def test_who_has_not_signed_in_is_led_to_airflows_own_page_and_back(
    somebody: Callable[..., Person], server: Server, rows: Rows, fox: dict[str, Any]
) -> None:
    rows.push("clips", "save", fox)
    page = somebody(None).page
    answer = page.goto(url(server, "clip", **coordinates()))
    assert answer is not None
    assert answer.status == 401
    assert "a fox" not in page.content()
    page.get_by_role("link", name="Sign in").click()
    page.locator("input[name=username]").fill("viewer")
    page.locator("input[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/pika/clip?**")
    expect(page.get_by_role("heading", name="a fox")).to_be_visible(timeout=SOON)


def test_a_user_without_the_right_is_told_so_and_finds_the_clips_that_there_are_for_him(
    somebody: Callable[..., Person], server: Server, rows: Rows, fox: dict[str, Any]
) -> None:
    rows.push("clips", "save", fox)
    rows.run(dag("secret"), RUN)
    rows.push("secret", "save", {**fox, "prompt": "a secret fox"})
    person = somebody("narrow")
    answer = person.page.goto(url(server, "clip", **coordinates(dag_id="secret")))
    assert answer is not None
    assert answer.status == 403
    expect(person.page.get_by_text("You may not read this Dag and its XComs.")).to_be_visible()
    assert "a secret fox" not in person.page.content()
    person.page.get_by_role("link", name="All clips").click()
    expect(person.page.locator("main").get_by_role("link", name="a fox")).to_be_visible(timeout=SOON)
    assert "a secret fox" not in person.page.content()


def test_a_storage_that_goes_down_while_the_page_is_open_is_said_in_a_sentence(
    somebody: Callable[..., Person],
    server: Server,
    rows: Rows,
    fox: dict[str, Any],
    playable: bytes,
    s3: RunningS3,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__PIKA__CLIP_ROOTS", f"s3://clips_store@{s3.bucket}")
    s3.client.put_object(Bucket=s3.bucket, Key="fox.mp4", Body=playable)
    s3.client.put_object(Bucket=s3.bucket, Key="fox.mp4.jpg", Body=JPEG)
    path = f"s3://clips_store@{s3.bucket}/fox.mp4"
    rows.push("clips", "save", {**fox, "path": path, "poster": f"{path}.jpg"})
    person = somebody()
    person.page.goto(url(server, "clips"))
    expect(person.page.locator("main .picture img")).to_have_js_property("naturalWidth", 16, timeout=SOON)
    monkeypatch.setattr(files, "STORE_WITHIN", 1.0)
    with s3.stopped():
        person.page.locator("main").get_by_role("link", name="a fox").click()
        told = person.page.locator("[data-trouble]")
        expect(told).to_contain_text("cannot read from the storage of s3://clips", timeout=SOON)
        person.page.get_by_role("link", name="All clips").click()
        expect(person.page.locator("main .picture.missing")).to_be_visible(timeout=SOON)  # no broken picture
        expect(person.page.locator("main").get_by_role("link", name="a fox")).to_be_visible(timeout=SOON)
    assert "Traceback" not in person.page.content()
    assert {refused.split()[0] for refused in person.refused} == {"502"}
    assert person.trouble == []


def test_a_clip_that_begins_to_play_while_the_page_is_fetched_anew_plays_on(
    somebody: Callable[..., Person], server: Server, rows: Rows, fox: dict[str, Any]
) -> None:
    rows.push("clips", "save", fox)
    person, held, clip = somebody(), list[Route](), re.compile(r"/pika/clip\?")
    watched = 'class="clip" data-watch="api/clip?" data-version="one" data-busy="yes"'  # as while its task goes on

    def show(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace('class="clip"', watched, 1))

    person.page.route(clip, lambda route: show(route) if route.request.is_navigation_request() else held.append(route))
    person.page.route(re.compile(r"/api/clip\?"), lambda route: route.fulfill(json={"version": "two", "busy": True}))
    with person.page.expect_request(
        lambda request: bool(clip.search(request.url)) and request.resource_type == "fetch"
    ):
        person.page.goto(url(server, "clip", **coordinates()))
    person.play()
    show(held.pop())
    person.page.wait_for_timeout(1000)
    assert person.page.evaluate("document.querySelector('video').currentTime") > 1


def test_each_clip_of_a_mapped_task_is_in_its_own_tab(
    somebody: Callable[..., Person], server: Server, rows: Rows, fox: dict[str, Any]
) -> None:
    for index in range(3):
        rows.push("clips", "saves", {**fox, "prompt": f"clip {index}"}, map_index=index)
    person = somebody()
    person.page.goto(url(server, "clips"))
    expect(person.page.locator("main .card .prompt")).to_have_text(["clip 2", "clip 1", "clip 0"])
    person.page.goto(f"{server.url}/dags/clips/runs/{RUN}/tasks/saves/mapped/1/plugin/pika-clip")
    frame = person.page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="clip 1")).to_be_visible(timeout=SOON)
    played = person.play()
    assert played["to"] > played["from"]


def test_a_batch_of_200_is_gone_through_page_by_page(
    somebody: Callable[..., Person], server: Server, rows: Rows, fox: dict[str, Any], roots: Path
) -> None:
    lines = [{**fox, "index": n, "state": "SAVED", "prompt": f"clip {n:03}"} for n in range(200)]
    manifest = roots / "saved.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    about = {"total": 200, "saved": 200, "failed": 0, "bytes": 200 * fox["bytes"]}
    rows.push("clips", "save_all", {"kind": "batch", **about, "manifest": str(manifest), "cover": 0})
    person, seen = somebody(), list[str]()
    person.page.goto(url(server, "clips"))
    person.page.get_by_role("link", name="Batch of 200").click()
    for _ in range(10):
        expect(person.page.get_by_role("heading", name="Batch of 200")).to_be_visible(timeout=SOON)
        seen += person.page.locator("main .card .prompt").all_inner_texts()
        further = person.page.get_by_role("link", name="Next")
        if not further.count():
            break
        further.click()
        person.page.wait_for_url("**after=**")
        expect(person.page.locator("main .card .prompt").first).not_to_have_text(seen[-48], timeout=SOON)
    assert seen == [f"clip {n:03}" for n in range(200)]
    person.page.get_by_role("link", name="clip 199").click()
    assert person.play(2.0)["from"] >= 2.0
    assert (person.trouble, person.refused) == ([], [])
