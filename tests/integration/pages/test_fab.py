"""The pages under Airflow's FAB auth manager: each role sees what it may, on the list and on every byte."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from tests.integration.pages.conftest import RUN, coordinates
from tests.integration.pages.fab_server import fab_server
from tests.support.pages import JPEG, MP4, PASSWORD, Server

pytest.importorskip("airflow.providers.fab", reason="FAB is not installed: make test-fab")

#: Of which Dags each role may see the clips.
SEEN = {
    "admin": {"clips", "secret"},
    "op": {"clips", "secret"},
    "user": {"clips", "secret"},
    "viewer": {"clips", "secret"},
    "onedag": {"clips"},
    "onedagandmenu": {"clips"},
    "noxcoms": set[str](),
    "nodags": set[str](),
    "public": set[str](),
}

#: What there is of a Dag's clips, by page and task.
PAGES: dict[str, dict[str, Any]] = {
    "clip": {"task_id": "save"},
    "video": {"task_id": "save"},
    "poster": {"task_id": "save"},
    "api/clip": {"task_id": "save"},
    "request": {"task_id": "save"},
    "batch": {"task_id": "save_all"},
    "clip of a batch": {"task_id": "save_all", "item": 0},
    "video of a batch": {"task_id": "save_all", "item": 0},
    "poster of a batch": {"task_id": "save_all", "item": 0},
    "review": {"task_id": "review"},
    "api/review": {"task_id": "review"},
    "review/poster": {"task_id": "review", "place": 0},
}


@pytest.fixture(scope="module")
def fab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with fab_server(tmp_path_factory.mktemp("fab"), tmp_path_factory.mktemp("clips")) as running:
        yield running


def asked(client: httpx.Client, page: str, dag_id: str) -> httpx.Response:
    names = {"dag_id": dag_id, "run_id": RUN, **PAGES[page]}
    return client.get(f"/pika/{page.split(' ')[0]}", params=names, follow_redirects=True)


@pytest.mark.parametrize("user", SEEN)
def test_a_role_sees_the_clips_of_the_dags_that_it_may_read_with_their_xcoms(fab: Server, user: str) -> None:
    client = fab.client(user)
    listed = client.get("/pika/clips")
    assert listed.status_code == 200
    assert {dag_id for dag_id in ("clips", "secret") if f"a fox of {dag_id}" in listed.text} == SEEN[user]
    for page in PAGES:
        for dag_id in ("clips", "secret"):
            answer = asked(client, page, dag_id)
            if dag_id in SEEN[user]:
                assert answer.status_code == 200, (page, dag_id)
                if page.startswith(("video", "poster")):
                    assert answer.content == (MP4 if page.startswith("video") else JPEG)
            else:
                assert answer.status_code == 403, (page, dag_id)
                assert answer.text == asked(client, page, "no_such").text
                assert "fox" not in answer.text


@pytest.mark.parametrize(
    ("user", "status"),
    [("viewer", 403), ("user", 403), ("op", 200), ("admin", 200), ("onedag", 403), ("onedagandmenu", 200)],
)
def test_fab_shows_the_menu_to_some_and_the_links_of_a_task_to_all(fab: Server, user: str, status: int) -> None:
    client = fab.client(user)
    assert client.get("/api/v2/plugins").status_code == status
    task = f"/api/v2/dags/clips/dagRuns/{RUN}/taskInstances/save"
    link = client.get(f"{task}/links").raise_for_status().json()["extra_links"]["Clip"]
    assert "<video" in client.get(f"/{link}").raise_for_status().text


@pytest.mark.parametrize("user", [user for user in SEEN if SEEN[user]])
def test_the_form_of_a_review_is_for_those_whose_answer_airflow_takes(fab: Server, user: str) -> None:
    client = fab.client(user)
    page = asked(client, "review", "clips").text
    assert page.count("<video") == 1
    # an answer that is none: 422 for those who may give one
    at = f"/api/v2/dags/clips/dagRuns/{RUN}/taskInstances/review/-1/hitlDetails"
    status = client.patch(at, json={}).status_code
    assert status == (422 if user in ("admin", "op", "user") else 403)
    assert ("data-form" in page) is (status == 422)


@pytest.mark.parametrize("page", ["clips", *PAGES])
def test_who_has_not_signed_in_gets_401(fab: Server, page: str) -> None:
    client = fab.client(None)
    answer = asked(client, page, "clips") if page in PAGES else client.get("/pika/clips")
    assert answer.status_code == 401
    assert "fox" not in answer.text


def test_the_sign_in_link_leads_to_fabs_page_and_back_to_the_clip(fab: Server) -> None:
    browser = fab.client(None)
    refused = browser.get("/pika/clip", params=coordinates())
    found = re.search(r'href="(\.\./api/v2/auth/login[^"]+)"', refused.text)
    assert found
    form = browser.get(urljoin(str(refused.url), html.unescape(found[1])), follow_redirects=True)
    assert form.status_code == 200
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form.text)
    assert token
    values = {"username": "viewer", "password": PASSWORD, "csrf_token": token[1]}
    landed = browser.post(form.url, data=values, follow_redirects=True)
    assert landed.url.path == "/pika/clip"
    assert "a fox of clips" in landed.text
