"""What a person sees of clips: the list, a clip, a batch, and what waits."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_pika.plugins.pages import queries
from tests.integration.conftest import connect
from tests.integration.pages.conftest import RUN, coordinates, dag, small_dag
from tests.support.pages import JPEG, MP4, Rows, Server, entry

#: What a stranger writes into a prompt, and what must be read of it on a page.
HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(1)> {{ 7*7 }} 'a' & b"""


def shown(answer: httpx.Response) -> str:
    """Return the text of a page that there is, its entities read."""
    assert answer.status_code == 200, (answer.status_code, answer.text[-2000:])
    return html.unescape(answer.text)


def prompts(answer: httpx.Response) -> list[str]:
    """Return the prompts of the cards, as they stand on the page."""
    return re.findall(r'<span class="prompt">(.*?)</span>', shown(answer))


def test_the_list_shows_a_saved_clip_with_what_is_known_of_it(server: Server, saved: Path) -> None:
    text = shown(server.client().get("/pika/clips"))
    for known in ("a fox", "seed 42", "5 s", "854\N{MULTIPLICATION SIGN}480", "0.20 USD", str(saved), RUN):
        assert known in text


def test_a_clip_opens_to_play_with_its_task_and_its_log_one_click_away(server: Server, saved: Path) -> None:
    text = shown(server.client().get("/pika/clip", params=coordinates()))
    assert '<video controls preload="metadata"' in text
    for known in ("a fox", str(saved), "764cabcf-b745-4b3e-ae38-1200304cf45b", "fal-ai/pika/v2.5/text-to-video"):
        assert known in text
    run = RUN.replace(":", "%3A").replace("+", "%2B")
    assert f'href="../dags/clips/runs/{run}/tasks/save"' in text
    assert f'href="../dags/clips/runs/{run}/tasks/save/details"' in text


@pytest.mark.parametrize("page", ["clips", "clip"])
def test_a_prompt_of_a_stranger_is_shown_and_not_run(server: Server, rows: Rows, roots: Path, page: str) -> None:
    rows.run(dag(), RUN)
    rows.push("clips", "save", entry(roots / "x.mp4", prompt=HOSTILE, endpoint=HOSTILE, saved_at=HOSTILE))
    rows.asked("clips", "generate", HOSTILE, HOSTILE)
    rows.error("clips", "generate", HOSTILE)
    answer = server.client().get(f"/pika/{page}", params=coordinates() if page == "clip" else {"prompt": "<script>"})
    assert HOSTILE in shown(answer)
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["clips.css", "clips.js", "theme.js", "clips.svg", "clips-dark.svg"])
def test_the_pages_own_files_are_served_to_anybody(server: Server, name: str) -> None:
    answer = server.client(None).get(f"/pika/static/{name}")
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "app.py", "", "clips.html"])
def test_no_other_file_is_served_with_them(server: Server, name: str) -> None:
    assert "import" not in server.client(None).get(f"/pika/static/{name}").text


@pytest.fixture
def many(rows: Rows, roots: Path) -> Rows:
    """Make 110 clips, three at the same moment."""
    for number in range(110):
        run_id = f"run-{number:03}"
        rows.run(small_dag("eclipse"), run_id)
        if number % 3:
            rows.same_moment()
        rows.push("eclipse", "save", entry(roots / "x.mp4", prompt=f"clip {number:03}"), run_id)
    return rows


class TestPaging:
    """The list is read page by page, newest first, whether there are few entries or many in few of the runs."""

    @pytest.fixture(params=["few", "many"], autouse=True)
    def size(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have a page go through the runs, a few at a time, as it does where all entries are too many to sort."""
        monkeypatch.setattr(queries, "_WITHIN", 60.0)  # a busy machine ends no page early
        if request.param == "many":
            monkeypatch.setattr(queries, "_FEW", 2)
            monkeypatch.setattr(queries, "_RUNS_AT_FIRST", 3)

    def test_each_clip_is_on_exactly_one_page(self, server: Server, many: Rows) -> None:
        client, page, seen = server.client(), "/pika/clips", list[str]()
        for _ in range(3):
            answer = client.get(page)
            seen += prompts(answer)
            older = re.search(r'rel="next" href="([^"]+)"', answer.text)
            if older is None:
                break
            page = f"/pika/{html.unescape(older[1])}"
            rows_of_a_stranger = f"new-{len(seen)}"  # one that is saved meanwhile moves nothing
            many.run(small_dag("eclipse"), rows_of_a_stranger)
            many.push("eclipse", "save", entry("/x.mp4", prompt="later"), rows_of_a_stranger)
        assert seen == [f"clip {number:03}" for number in reversed(range(110))]

    def test_filters_hold_on_every_page(self, server: Server, many: Rows) -> None:
        client = server.client()
        page, seen = "/pika/clips?run_id=RUN-0&prompt=clip%20&dag_id=lip", list[str]()
        for _ in range(3):
            answer = client.get(page)
            seen += prompts(answer)
            if not (older := re.search(r'rel="next" href="([^"]+)"', answer.text)):
                break
            page = f"/pika/{html.unescape(older[1])}"
        assert seen == [f"clip {number:03}" for number in reversed(range(100))]
        assert prompts(client.get("/pika/clips", params={"prompt": "clip 10%"})) == []


def test_a_page_that_has_gone_through_many_runs_ends_and_the_next_goes_on(
    server: Server, many: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_FEW", 2)
    monkeypatch.setattr(queries, "_WITHIN", 0.0)
    monkeypatch.setattr(queries, "_RUNS_AT_FIRST", 20)
    client, page, seen = server.client(), "/pika/clips?prompt=clip%2000", list[str]()
    for _ in range(20):
        answer = client.get(page)
        seen += prompts(answer)
        if not (older := re.search(r'rel="next" href="([^"]+)"', answer.text)):
            break
        page = f"/pika/{html.unescape(older[1])}"
    assert seen == [f"clip {number:03}" for number in reversed(range(10))]


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "e30",
        "WzFd",
        "\N{SNOWMAN}",
        "=" * 50,
        "WyIyMDI2IiwxLDIsM10",
        "W" * 5000,
        "WzEsIngiLDIuNV0",
        "WzEsIngiLDk5OTk5OTk5OTk5XQ",
        "WyJhIiwieCIsMV0",
    ],
)
def test_what_is_no_cursor_is_said_to_be_none(server: Server, saved: Path, cursor: str) -> None:
    answer = server.client().get("/pika/clips", params={"before": cursor})
    assert answer.status_code == 404
    assert "no place in the list" in answer.text


def test_mapped_tasks_have_a_clip_each(server: Server, rows: Rows, roots: Path) -> None:
    rows.run(dag(), RUN)
    for index in range(3):
        path = roots / f"{index}.mp4"
        path.write_bytes(MP4 + bytes([index]))
        rows.push("clips", "saves", entry(path, path.read_bytes(), prompt=f"clip {index}"), map_index=index)
    client = server.client()
    assert prompts(client.get("/pika/clips")) == ["clip 2", "clip 1", "clip 0"]
    for index in range(3):
        names = coordinates("saves", map_index=index)
        assert f"tasks/saves/mapped/{index}" in shown(client.get("/pika/clip", params=names))
        assert client.get("/pika/video", params=names).content == MP4 + bytes([index])


@pytest.mark.parametrize("map_index", ["{MAP_INDEX}", "-1", "", "x", "9" * 30])
def test_what_airflow_leaves_in_a_tabs_address_is_an_unmapped_task(server: Server, saved: Path, map_index: str) -> None:
    assert "a fox" in shown(server.client().get("/pika/clip", params=coordinates(map_index=map_index)))


def test_the_plus_of_a_runs_id_may_arrive_as_a_blank(server: Server, saved: Path) -> None:
    names = {**coordinates(), "run_id": RUN.replace("+", " ")}
    assert "a fox" in shown(server.client().get("/pika/clip", params=names))


@pytest.mark.parametrize("task_id", ["foreign", "save", "unheard-of"])
def test_a_task_without_a_clip_says_so_and_leads_to_the_list(
    server: Server, rows: Rows, roots: Path, task_id: str
) -> None:
    rows.run(dag(), RUN)
    text = shown(server.client().get("/pika/clip", params=coordinates(task_id)))
    assert 'href="clips' in text
    assert "<video" not in text


class TestBatches:
    """The clips of a batch are behind its card."""

    def lines(self, folder: Path, count: int) -> list[dict[str, Any]]:
        made = list[dict[str, Any]]()
        for index in range(count):
            path = folder / f"{index:03}.mp4"
            path.write_bytes(MP4 + index.to_bytes(2))
            path.with_name(path.name + ".jpg").write_bytes(JPEG)
            saved = entry(path, path.read_bytes(), prompt=f"clip {index:03}", poster=f"{path}.jpg")
            made.append({"index": index, "state": "saved", "error": None, "error_type": None, "name": None, **saved})
        made[1] |= {"state": "failed", "error": HOSTILE, "sha256": None, "bytes": None}
        return made

    def put(self, rows: Rows, lines: list[dict[str, Any]], manifest: Path | None = None) -> None:
        rows.run(dag(), RUN)
        totals = {"total": len(lines), "saved": len(lines) - 1, "failed": 1, "unsaved": 1, "bytes": 5_000_000}
        cost = {"amounts": {"USD": "9.80"}, "unknown": 0}
        if manifest:
            manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
        about = {"kind": "batch", **totals, "cost": cost, "manifest": manifest and str(manifest), "cover": 0}
        rows.push("clips", "save_all", about)
        rows.push("clips", "save_all", {"clips": None if manifest else lines}, key="return_value")

    @pytest.mark.parametrize("with_manifest", [True, False])
    def test_every_clip_of_a_batch_is_on_exactly_one_page_and_plays(
        self, server: Server, rows: Rows, roots: Path, with_manifest: bool
    ) -> None:
        lines = self.lines(roots, 100)
        self.put(rows, lines, roots / "manifest.jsonl" if with_manifest else None)
        client = server.client()
        text = shown(client.get("/pika/clips"))
        assert "Batch of 100" in text
        assert "9.80 USD" in text
        page, seen = f"/pika/batch?{httpx.QueryParams(coordinates('save_all'))}", list[str]()
        for _ in range(3):
            answer = client.get(page)
            seen += prompts(answer)
            if not (older := re.search(r'rel="next" href="([^"]+)"', answer.text)):
                break
            page = f"/pika/{html.unescape(older[1])}"
        assert seen == [f"clip {index:03}" for index in range(100)]
        for index in (0, 57, 99):
            names = coordinates("save_all", item=index)
            assert client.get("/pika/video", params=names).content == MP4 + index.to_bytes(2)
            assert client.get("/pika/poster", params=names).content == JPEG
            assert f"clip {index:03}" in shown(client.get("/pika/clip", params=names))

    def test_a_clip_that_failed_says_why_and_has_no_bytes(self, server: Server, rows: Rows, roots: Path) -> None:
        self.put(rows, self.lines(roots, 3))
        client = server.client()
        answer = client.get("/pika/batch", params=coordinates("save_all"))
        assert HOSTILE in shown(answer)
        assert "<script>alert" not in answer.text
        for item in (1, 3, 2**31 - 1):
            assert client.get("/pika/video", params=coordinates("save_all", item=item)).status_code == 404

    def test_a_clips_page_of_a_batch_leads_to_the_batch(self, server: Server, rows: Rows, roots: Path) -> None:
        self.put(rows, self.lines(roots, 3))
        answer = server.client().get("/pika/clip", params=coordinates("save_all"))
        assert answer.status_code == 307
        assert answer.headers["location"].startswith("batch?dag_id=clips&")

    @pytest.mark.parametrize(
        "content", ["root:x:0:0\n", "", '{"index": 0}\n', '{"index": "0", "state": "", "request_id": 0, "sha256": 0}\n']
    )
    def test_a_file_that_is_no_manifest_is_not_quoted(
        self, server: Server, rows: Rows, roots: Path, content: str
    ) -> None:
        self.put(rows, self.lines(roots, 3), roots / "manifest.jsonl")
        (roots / "manifest.jsonl").write_text(content)
        text = shown(server.client().get("/pika/batch", params=coordinates("save_all")))
        assert "root:x" not in text
        assert "clip 00" not in text

    def test_a_manifest_outside_the_roots_is_not_read(
        self, server: Server, rows: Rows, roots: Path, tmp_path: Path
    ) -> None:
        self.put(rows, self.lines(roots, 3), tmp_path / "manifest.jsonl")
        client = server.client()
        assert "not under [pika] clip_roots" in shown(client.get("/pika/batch", params=coordinates("save_all")))
        assert client.get("/pika/video", params=coordinates("save_all", item=0)).status_code == 403


class TestWaiting:
    """What has not ended, or has failed, is there, too."""

    @pytest.fixture
    def asked(self, rows: Rows, roots: Path) -> Rows:
        """Make a request that waits."""
        rows.run(dag(), RUN)
        rows.asked("clips", "generate", "a fox that waits")
        rows.state("clips", "generate", "deferred")
        return rows

    def test_a_request_that_waits_is_shown_with_its_prompt(self, server: Server, asked: Rows) -> None:
        client = server.client()
        text = shown(client.get("/pika/clips"))
        assert "waiting for fal" in text
        assert "a fox that waits" in text
        assert "a fox that waits" in shown(client.get("/pika/clip", params=coordinates("generate")))

    def test_a_request_that_failed_says_why_in_fals_words(self, server: Server, asked: Rows) -> None:
        asked.error("clips", "generate", "The prompt was refused.")
        client = server.client()
        assert "content_policy_violation: The prompt was refused." in shown(client.get("/pika/clips"))
        page = client.get("/pika/clip", params=coordinates("generate"))
        assert "content_policy_violation: The prompt was refused." in shown(page)

    def test_a_page_is_told_when_something_has_changed(self, server: Server, asked: Rows) -> None:
        client = server.client()
        asks: list[tuple[str, dict[str, Any]]] = [
            ("/pika/api/clips", {}),
            ("/pika/api/clip", coordinates("generate")),
        ]
        for path, names in asks:
            before = client.get(path, params=names).json()
            assert before["busy"] is True
            assert client.get(path, params=names).json() == before
            assert f'data-version="{before["version"]}"' in client.get(path.replace("/api", ""), params=names).text
        first = [client.get(path, params=names).json()["version"] for path, names in asks]
        asked.state("clips", "generate", "success")
        after = [client.get(path, params=names).json() for path, names in asks]
        assert all(told["version"] != version for told, version in zip(after, first, strict=True))
        assert [told["busy"] for told in after] == [False, False]

    def test_the_tab_of_a_request_plays_what_another_task_has_saved_of_it(
        self, server: Server, asked: Rows, roots: Path
    ) -> None:
        (roots / "x.mp4").write_bytes(MP4)
        asked.push("clips", "save", entry(roots / "x.mp4", request_id="r-1", prompt="the saved one"))
        text = shown(server.client().get("/pika/clip", params=coordinates("generate")))
        assert "the saved one" in text
        assert "task_id=save&map_index=-1" in text  # the player's address names the task that has saved it

    def test_what_a_foreign_task_says_to_have_saved_hides_nothing(
        self, server: Server, asked: Rows, roots: Path
    ) -> None:
        (roots / "x.mp4").write_bytes(MP4)
        for task_id, prompt in (("foreign", "the forged one"), ("save", "the saved one")):
            asked.push("clips", task_id, entry(roots / "x.mp4", request_id="r-1", prompt=prompt))
        text = shown(server.client().get("/pika/clip", params=coordinates("generate")))
        assert "the saved one" in text
        assert "the forged one" not in text

    def test_a_foreign_tasks_words_are_not_shown_as_ours(self, server: Server, asked: Rows) -> None:
        asked.asked("clips", "foreign", "forged")
        asked.error("clips", "foreign", "forged")
        assert "forged" not in shown(server.client().get("/pika/clips"))


class TestNothingSaved:
    """A clip that no task has saved plays from fal, if its host is one that the connection trusts."""

    @pytest.fixture
    def waited(self, rows: Rows, roots: Path, monkeypatch: pytest.MonkeyPatch) -> Rows:
        """Make a task that has returned a clip."""
        connect(monkeypatch, "http://127.0.0.1:9", media_hosts="media.example.com")
        rows.run(dag(), RUN)
        return rows

    @pytest.mark.parametrize(
        ("url", "origin"),
        [
            ("https://v3.fal.media/files/a/fox.mp4", "https://v3.fal.media"),
            ("https://media.example.com/fox.mp4", "https://media.example.com"),
            ("http://127.0.0.1:9/files/fox.mp4", "http://127.0.0.1:9"),
        ],
    )
    def test_it_plays_from_a_trusted_host(self, server: Server, waited: Rows, url: str, origin: str) -> None:
        waited.push("clips", "video", {"url": url, "request_id": "r-1"}, key="return_value")
        client = server.client()
        page = client.get("/pika/clip", params=coordinates("video"))
        assert "Nothing is saved of this clip" in shown(page)
        assert f"media-src 'self' {origin};" in page.headers["content-security-policy"]
        answer = client.get("/pika/video", params=coordinates("video"))
        assert (answer.status_code, answer.headers["location"]) == (302, url)
        assert answer.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize(
        "url",
        [
            "https://evil.example.com/fox.mp4",
            "http://169.254.169.254/latest/meta-data",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://v3.fal.media@evil.example.com/x",
            "https://v3.fal.media;script-src%20*/x",
            "//evil.example.com/x",
        ],
    )
    def test_it_does_not_from_any_other(self, server: Server, waited: Rows, url: str) -> None:
        waited.push("clips", "video", {"url": url, "request_id": "r-1"}, key="return_value")
        client = server.client()
        page = client.get("/pika/clip", params=coordinates("video"))
        assert "<video" not in shown(page)
        assert "media-src 'self';" in page.headers["content-security-policy"]
        assert client.get("/pika/video", params=coordinates("video")).status_code == 404

    def test_a_foreign_tasks_url_is_none(self, server: Server, waited: Rows) -> None:
        url = "https://v3.fal.media/files/a/fox.mp4"
        waited.push("clips", "foreign", {"url": url, "request_id": "r-1"}, key="return_value")
        assert server.client().get("/pika/video", params=coordinates("foreign")).status_code == 404


@pytest.mark.parametrize(
    ("host", "location"),
    [("", "https://fal.ai/dashboard/requests?requestId=r-1%26x"), ("http://127.0.0.1:9", "clip?dag_id=clips&")],
)
def test_the_link_to_a_request_leads_to_fals_dashboard_where_the_queue_is_fals(
    server: Server, rows: Rows, monkeypatch: pytest.MonkeyPatch, host: str, location: str
) -> None:
    connect(monkeypatch, host)
    rows.run(dag(), RUN)
    rows.asked("clips", "generate", "a fox", "r-1&x")
    answer = server.client().get("/pika/request", params=coordinates("generate"))
    assert answer.headers["location"].startswith(location)


def test_without_roots_the_pages_say_how_to_set_them(
    server: Server, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__PIKA__CLIP_ROOTS", "")
    client = server.client()
    for answer in (client.get("/pika/clips"), client.get("/pika/clip", params=coordinates())):
        assert "AIRFLOW__PIKA__CLIP_ROOTS=" in shown(answer)
        assert "<video" not in answer.text
        assert "<img" not in answer.text
    answer = client.get("/pika/video", params=coordinates())
    assert answer.status_code == 403
    assert "clip_roots" in answer.text
