"""Who may see a clip: whoever may read its Dag and the XComs of that Dag, on the list and on every byte."""

from __future__ import annotations

import base64
import html
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.integration.pages.conftest import RUN, coordinates, dag, small_dag
from tests.support.pages import MP4, Rows, Server, entry

#: Every address that is about one task instance.
OF_A_TASK = ("clip", "batch", "video", "poster", "request", "api/clip", "review", "api/review")
#: Every other one that shows something of clips.
LISTS = ("clips", "api/clips")


@pytest.fixture
def two(saved: Path, rows: Rows, roots: Path) -> Path:
    """Make a clip of another Dag beside the one."""
    path = roots / "secret.mp4"
    path.write_bytes(MP4)
    rows.run(dag("secret"), RUN)
    rows.push("secret", "save", entry(path, prompt="a secret fox"))
    rows.asked("secret", "generate", "a secret wait")
    rows.state("secret", "generate", "deferred")
    return path


@pytest.mark.parametrize("page", [*OF_A_TASK, *LISTS])
def test_who_has_not_signed_in_sees_nothing_but_where_to(server: Server, saved: Path, page: str) -> None:
    names = coordinates() if page in OF_A_TASK else {}
    answer = server.client(None).get(f"/pika/{page}", params=names)
    assert answer.status_code == 401
    assert "a fox" not in answer.text
    link = re.search(r'href="(\.\./api/v2/auth/login\?next=%2Fpika%2F[^"]+)"', answer.text)
    assert link is not None
    there = server.client(None).get("/pika/x", params={}).url.join(link[1].replace("&amp;", "&"))
    assert server.client(None).get(there).status_code == 307  # Airflow's own page to sign in


@pytest.mark.parametrize("page", [*OF_A_TASK, *LISTS])
def test_who_signs_in_comes_back_to_the_page_whatever_airflow_keeps_of_its_address(
    server: Server, saved: Path, page: str
) -> None:
    """Airflow 3.1 keeps it up to its first ``&``."""
    names = {**coordinates(), "item": "3"} if page in OF_A_TASK else {"prompt": "a & b", "dag_id": "ü"}
    answer = server.client(None).get(f"/pika/{page}", params=names)
    [link] = re.findall(r'href="\.\./(api/v2/auth/login\?[^"]+)"', answer.text)
    login = server.client(None).get(f"/{html.unescape(link)}").headers["location"]
    [back] = parse_qs(urlsplit(login).query)["next"]
    there = server.client().get(back)
    assert there.status_code == 307
    led = there.url.join(there.headers["location"])
    if page.startswith("api/"):
        assert led.path == "/pika/clips"
    else:
        assert led.path == f"/pika/{page}"
        assert dict(led.params) == names


def back_to(asked: str) -> str:
    """Return an address as the sign-in has it."""
    return base64.urlsafe_b64encode(asked.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "where",
    [
        *map(back_to, ["https://example.org/clip", "//example.org", "../clip", "", "static/clips.js", "clips/../.."]),
        *("%2e%2e", "a", "\N{SNOWMAN}", "_w", "=" * 9),
    ],
)
def test_who_has_signed_in_is_led_to_no_other_place(server: Server, where: str) -> None:
    answer = server.client().get(f"/pika/back/{where}")
    assert answer.status_code == 404


@pytest.mark.parametrize("query", ["\r\nSet-Cookie: a=b", "next=//example.org", "#//example.org"])
def test_what_an_address_names_stays_behind_the_page_that_it_leads_to(server: Server, query: str) -> None:
    answer = server.client().get(f"/pika/back/{back_to('clips?' + query)}")
    assert answer.status_code == 307
    assert "set-cookie" not in answer.headers or "a=b" not in answer.headers["set-cookie"]
    assert answer.url.join(answer.headers["location"]).path == "/pika/clips"


@pytest.mark.parametrize("map_index", ["--5", "-", "+1", "٣", "9" * 30, "1e3", ""])
def test_a_map_index_that_is_none_is_that_of_no_mapped_task(server: Server, saved: Path, map_index: str) -> None:
    answer = server.client().get("/pika/clip", params=coordinates(map_index=map_index))
    assert answer.status_code == 200
    assert "a fox" in answer.text


@pytest.mark.parametrize("page", [*OF_A_TASK, *LISTS])
def test_a_script_that_has_not_signed_in_gets_json(server: Server, saved: Path, page: str) -> None:
    names = coordinates() if page in OF_A_TASK else {}
    answer = server.client(None, Accept="*/*").get(f"/pika/{page}", params=names)
    assert answer.status_code == 401
    assert answer.json() == {"detail": "Sign in to Airflow to see clips."}


@pytest.mark.parametrize("page", [*OF_A_TASK, *LISTS])
def test_a_token_that_is_none_is_as_none(server: Server, saved: Path, page: str) -> None:
    for token in ("x", "a.b.c", ""):
        client = server.client(None)
        client.cookies.set("_token", token)
        answer = client.get(f"/pika/{page}", params=coordinates() if page in OF_A_TASK else {})
        assert answer.status_code == 401
        assert "a fox" not in answer.text


@pytest.mark.parametrize("page", OF_A_TASK)
def test_a_closed_dag_is_answered_as_one_that_there_is_not(server: Server, two: Path, page: str) -> None:
    client = server.client("narrow")
    closed, none = (client.get(f"/pika/{page}", params=coordinates(dag_id=name)) for name in ("secret", "no_such"))
    assert closed.status_code == none.status_code == 403
    assert closed.text == none.text
    assert "secret" not in closed.text


@pytest.mark.parametrize("page", OF_A_TASK)
def test_who_may_read_no_xcoms_sees_no_clip(server: Server, two: Path, page: str) -> None:
    answer = server.client("no_xcoms").get(f"/pika/{page}", params=coordinates())
    assert answer.status_code == 403
    assert "fox" not in answer.text


def test_the_list_has_only_what_its_reader_may_see(server: Server, two: Path) -> None:
    everybody, narrow, none = (server.client(user).get("/pika/clips") for user in ("viewer", "narrow", "no_xcoms"))
    assert everybody.status_code == narrow.status_code == none.status_code == 200
    for text in ("a secret fox", "a secret wait"):
        assert text in everybody.text
        assert text not in narrow.text
        assert text not in none.text
    assert "a fox" in narrow.text
    assert "a fox" not in none.text


def test_a_list_says_nothing_of_closed_dags_by_its_version(server: Server, two: Path, rows: Rows) -> None:
    client = server.client("narrow")
    before = client.get("/pika/api/clips").json()
    assert before["busy"] is False
    rows.error("secret", "generate", "a reason")
    assert client.get("/pika/api/clips").json() == before


def test_closed_dags_take_no_place_on_a_page(server: Server, two: Path, rows: Rows, roots: Path) -> None:
    for number in range(60):
        rows.run(small_dag("secret_too"), f"run-{number}")
        rows.push("secret_too", "save", entry(roots / "x.mp4", prompt="a secret fox"), f"run-{number}")
    answer = server.client("narrow").get("/pika/clips")
    assert "a fox" in answer.text
    assert "secret" not in answer.text
    assert 'rel="next"' not in answer.text


def test_an_address_without_a_task_instance_is_no_page(server: Server, saved: Path) -> None:
    for page in OF_A_TASK:
        answer = server.client().get(f"/pika/{page}")
        assert answer.status_code == 404
        assert "<h2>" in answer.text


@pytest.mark.parametrize("page", [*OF_A_TASK, *LISTS])
def test_nothing_can_be_changed(server: Server, saved: Path, page: str) -> None:
    client = server.client()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert client.request(method, f"/pika/{page}", params=coordinates()).status_code == 405


def test_no_other_test_has_the_servers_users(shared_server: Server) -> None:
    assert not {name for name in os.environ if name.startswith("AIRFLOW__CORE__") and "AUTH" in name}


def test_the_pages_have_no_description_for_robots(server: Server) -> None:
    for path in ("docs", "redoc", "openapi.json"):
        assert server.client().get(f"/pika/{path}").status_code == 404


@pytest.mark.parametrize("more", [{"path": "/etc/passwd"}, {"conn_id": "x"}, {"root": "/"}, {"url": "http://x"}])
def test_what_else_an_address_names_has_no_effect(server: Server, saved: Path, more: dict[str, Any]) -> None:
    assert server.client().get("/pika/video", params=coordinates(**more)).content == MP4
