"""The bytes of a clip: from under a root, as they were recorded, and in parts as a player asks for them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.sdk.io import attach

from airflow_provider_pika.plugins.pages import files
from tests.integration.pages.conftest import RUN, coordinates, dag
from tests.support.pages import JPEG, MP4, Rows, Server, entry
from tests.support.s3 import RunningS3

ETAG = f'"{hashlib.sha256(MP4).hexdigest()}"'


def video(server: Server, task_id: str = "save", method: str = "GET", **headers: str) -> httpx.Response:
    """Ask for a clip's bytes."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.client().request(method, "/pika/video", params=coordinates(task_id), headers=names)


def test_a_clip_is_sent_as_nothing_but_an_mp4(server: Server, saved: Path) -> None:
    answer = video(server, accept_encoding="gzip, br")
    assert answer.status_code == 200
    assert answer.content == MP4
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-length"] == str(len(MP4))
    assert answer.headers["etag"] == ETAG
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"] == "inline"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'"


@pytest.mark.parametrize("asked", ["bytes=0-99", "bytes=100-", "bytes=-10", "bytes=5-5", "bytes=0-999999999"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_part_is_sent_as_it_was_asked_for(server: Server, saved: Path, asked: str, method: str) -> None:
    answer = video(server, method=method, range=asked, accept_encoding="gzip, br")
    first, last = asked.removeprefix("bytes=").split("-")
    start = int(first) if first else len(MP4) - int(last)
    end = min(int(last) + 1, len(MP4)) if first and last else len(MP4)
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(MP4)}"
    assert answer.headers["content-length"] == str(end - start)
    assert answer.headers["content-encoding"] == "identity"  # Starlette 0.48 would pack it
    assert answer.content == (MP4[start:end] if method == "GET" else b"")


def test_a_part_behind_the_end_is_refused_with_the_size(server: Server, saved: Path) -> None:
    answer = video(server, range=f"bytes={len(MP4)}-")
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(MP4)}"


@pytest.mark.parametrize(("if_range", "status"), [(ETAG, 206), ('"another"', 200)])
def test_a_part_of_another_file_is_the_whole_one(server: Server, saved: Path, if_range: str, status: int) -> None:
    assert video(server, range="bytes=0-9", if_range=if_range).status_code == status


def test_a_browser_that_has_the_clip_is_sent_nothing(server: Server, saved: Path) -> None:
    answer = video(server, if_none_match=ETAG)
    assert (answer.status_code, answer.content) == (304, b"")


def test_a_clip_of_many_pieces_arrives_whole(server: Server, rows: Rows, roots: Path) -> None:
    content = MP4 + os.urandom(5 * files.PIECE // 2)
    (roots / "large.mp4").write_bytes(content)
    rows.run(dag(), RUN)
    rows.push("clips", "save", entry(roots / "large.mp4", content))
    assert hashlib.sha256(video(server).content).digest() == hashlib.sha256(content).digest()
    seek = video(server, range=f"bytes={files.PIECE - 5}-{files.PIECE + 4}")
    assert seek.content == content[files.PIECE - 5 : files.PIECE + 5]


class TestHostileEntries:
    """Whoever writes an XCom or a Dag aims the server at no file of their choice."""

    @pytest.fixture
    def push(self, rows: Rows, roots: Path) -> Any:
        """Return what pushes an entry."""
        rows.run(dag(), RUN)
        return lambda path, content=MP4, task_id="save", **more: rows.push(
            "clips", task_id, entry(path, content, **more)
        )

    @pytest.mark.parametrize(
        "path",
        [
            "{outside}/fox.mp4",
            "{roots}/../outside/fox.mp4",
            "{roots}/%2e%2e/outside/fox.mp4",
            "{roots}-private/fox.mp4",
            "file://{outside}/fox.mp4",
            "file://{roots}/../outside/fox.mp4",
            "local://{outside}/fox.mp4",
            "{roots}/file-link.mp4",
            "{roots}/folder-link/fox.mp4",
            "{roots}/folder-link/../outside/fox.mp4",
            "/proc/self/environ",
            "{roots}",
            "{roots}/",
            "{roots}/folder",
            "{roots}/pipe.mp4",
            "http://127.0.0.1:9/fox.mp4",
            "s3://clips/fox.mp4",
            "simplecache::file://{outside}/fox.mp4",
            "memory://fox.mp4",
            "github://owner:repository@main/fox.mp4",
        ],
    )
    def test_no_path_leads_out_of_the_roots(
        self, server: Server, push: Any, roots: Path, tmp_path: Path, path: str
    ) -> None:
        outside = tmp_path / "outside"
        for folder in (outside, roots / "folder", Path(f"{roots}-private")):
            folder.mkdir()
            (folder / "fox.mp4").write_bytes(MP4)
        (roots / "file-link.mp4").symlink_to(outside / "fox.mp4")
        (roots / "folder-link").symlink_to(outside)
        os.mkfifo(roots / "pipe.mp4")
        push(path.format(roots=roots, outside=outside))
        answer = video(server)
        assert answer.status_code == 403, answer.text
        assert MP4[:30] not in answer.content
        assert server.client().get("/pika/clip", params=coordinates()).status_code == 200

    def test_a_link_that_stays_under_the_roots_is_followed(self, server: Server, push: Any, roots: Path) -> None:
        (roots / "real.mp4").write_bytes(MP4)
        (roots / "link.mp4").symlink_to(roots / "real.mp4")
        push(roots / "link.mp4")
        assert video(server).content == MP4

    def test_a_root_that_is_a_link_itself_is_one(
        self, server: Server, push: Any, roots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (roots / "fox.mp4").write_bytes(MP4)
        (tmp_path / "mount").symlink_to(roots)
        monkeypatch.setenv("AIRFLOW__PIKA__CLIP_ROOTS", str(tmp_path / "mount"))
        push(tmp_path / "mount" / "fox.mp4")
        assert video(server).content == MP4

    @pytest.mark.parametrize("task_id", ["foreign", "generate", "video"])
    def test_a_task_that_saves_nothing_has_no_entry_whatever_it_pushes(
        self, server: Server, push: Any, roots: Path, task_id: str
    ) -> None:
        (roots / "fox.mp4").write_bytes(MP4)
        push(roots / "fox.mp4", task_id=task_id, prompt="forged")
        assert video(server, task_id).status_code == 404
        for page in ("clips", "clip"):
            assert "forged" not in server.client().get(f"/pika/{page}", params=coordinates(task_id)).text

    def test_a_class_that_only_has_our_name_is_none_of_ours(self, server: Server, rows: Rows, roots: Path) -> None:
        from airflow.sdk import DAG, BaseOperator

        forged = type("PikaVideoToObjectStorageOperator", (BaseOperator,), {"__module__": "dags.theirs"})
        with DAG("forged", schedule=None) as theirs:
            forged(task_id="save")
        rows.run(theirs, RUN)
        (roots / "fox.mp4").write_bytes(MP4)
        rows.push("forged", "save", entry(roots / "fox.mp4"))
        answer = server.client().get("/pika/video", params=coordinates(dag_id="forged"))
        assert answer.status_code == 404

    @pytest.mark.parametrize(
        ("there", "status"),
        [
            (MP4[:-1], 409),
            (MP4 + b"x", 409),
            (b"", 409),
            (b"root:x:0:0:root:/root:/bin/bash\n".ljust(len(MP4), b"x"), 409),
            (b"\xff\xd8\xff\xe0".ljust(len(MP4), b"x"), 409),
            (b"<html><script>".ljust(len(MP4), b"x"), 409),
            (None, 404),
        ],
    )
    def test_a_file_that_was_cut_replaced_or_deleted_is_not_sent(
        self, server: Server, push: Any, roots: Path, there: bytes | None, status: int
    ) -> None:
        if there is not None:
            (roots / "fox.mp4").write_bytes(there)
        push(roots / "fox.mp4")
        answer = video(server)
        assert answer.status_code == status
        assert "<h2>" in answer.text
        assert "root:x" not in answer.text
        again = server.client(Accept="*/*").get("/pika/video", params=coordinates())
        assert again.json()["detail"] in answer.text.replace("&#39;", "'")

    def test_a_file_whose_size_was_recorded_as_it_is_must_still_be_an_mp4(
        self, server: Server, push: Any, roots: Path
    ) -> None:
        secret = b"key = value\n" * 10
        (roots / "secrets.ini").write_bytes(secret)
        push(roots / "secrets.ini", secret)
        answer = video(server)
        assert answer.status_code == 409
        assert b"key = value" not in answer.content


class TestPosters:
    """A clip's picture is the one beside it, and nothing else."""

    @pytest.fixture
    def poster(self, rows: Rows, roots: Path) -> Path:
        """Return where the picture is."""
        rows.run(dag(), RUN)
        (roots / "fox.mp4").write_bytes(MP4)
        path = roots / "fox.mp4.jpg"
        path.write_bytes(JPEG)
        rows.push("clips", "save", entry(roots / "fox.mp4", poster="/etc/passwd"))
        return path

    def ask(self, server: Server, **headers: str) -> httpx.Response:
        return server.client().get("/pika/poster", params=coordinates(), headers=headers)

    def test_it_is_sent_as_a_jpeg(self, server: Server, poster: Path) -> None:
        answer = self.ask(server)
        assert answer.content == JPEG
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert self.ask(server, **{"If-None-Match": answer.headers["etag"]}).status_code == 304

    @pytest.mark.parametrize(
        "content", [b"", b"root:x:0:0", b"\xff\xd8\xff\xd9", JPEG + b"<script>", b"<svg/>", JPEG[:-2]]
    )
    def test_what_is_no_plain_jpeg_is_not_sent(self, server: Server, poster: Path, content: bytes) -> None:
        poster.write_bytes(content)
        assert self.ask(server).status_code == 409

    def test_a_file_of_any_length_is_not_read(self, server: Server, poster: Path) -> None:
        os.truncate(poster, 10**12)
        assert self.ask(server).status_code == 409

    def test_a_picture_that_is_a_link_out_of_the_roots_is_not_sent(
        self, server: Server, poster: Path, tmp_path: Path
    ) -> None:
        shutil.move(poster, tmp_path / "secret.jpg")
        poster.symlink_to(tmp_path / "secret.jpg")
        assert self.ask(server).status_code == 403


class TestBuckets:
    """A clip in a bucket is streamed a piece at a time, or by the bucket itself, where its connection says so."""

    @pytest.fixture
    def bucket(self, rows: Rows, s3: RunningS3, monkeypatch: pytest.MonkeyPatch) -> RunningS3:
        """Make a clip in a bucket, and its picture."""
        monkeypatch.setenv("AIRFLOW__PIKA__CLIP_ROOTS", f"s3://clips_store@{s3.bucket}/films")
        s3.client.put_object(Bucket=s3.bucket, Key="films/fox.mp4", Body=MP4)
        s3.client.put_object(Bucket=s3.bucket, Key="films/fox.mp4.jpg", Body=JPEG)
        s3.client.put_object(Bucket=s3.bucket, Key="films-private/fox.mp4", Body=MP4)
        rows.run(dag(), RUN)
        return s3

    @pytest.mark.parametrize(
        ("path", "conn_id"),
        [("s3://clips_store@clips/films/fox.mp4", None), ("s3://clips/films/fox.mp4", "clips_store")],
    )
    def test_it_plays_and_seeks(
        self, server: Server, bucket: RunningS3, rows: Rows, path: str, conn_id: str | None
    ) -> None:
        rows.push("clips", "save", entry(path, conn_id=conn_id, poster="yes"))
        assert video(server).content == MP4
        part = video(server, range="bytes=1000-1999")
        assert (part.status_code, part.content) == (206, MP4[1000:2000])
        assert server.client().get("/pika/poster", params=coordinates()).content == JPEG

    @pytest.mark.parametrize(
        ("path", "conn_id"),
        [
            ("s3://clips_store@clips/films-private/fox.mp4", None),
            ("s3://clips_store@clips/fox.mp4", None),
            ("s3://clips_store@clips/films/../films-private/fox.mp4", None),
            ("s3://clips_store@other/films/fox.mp4", None),
            ("s3://clips/films/fox.mp4", None),
            ("s3://admin@clips/films/fox.mp4", None),
            ("s3://clips_store@clips/films/fox.mp4", "admin"),
            ("s3a://clips_store@clips/films/fox.mp4", None),
        ],
    )
    def test_no_other_object_and_no_other_connection_is_used(
        self, server: Server, bucket: RunningS3, rows: Rows, path: str, conn_id: str | None
    ) -> None:
        rows.push("clips", "save", entry(path, conn_id=conn_id))
        assert video(server).status_code == 403

    def test_a_deleted_and_a_replaced_object_are_told_apart(
        self, server: Server, bucket: RunningS3, rows: Rows
    ) -> None:
        rows.push("clips", "save", entry("s3://clips_store@clips/films/fox.mp4"))
        attach("s3", "clips_store").fs.ls("clips/films")  # it keeps what it has listed
        bucket.client.put_object(Bucket=bucket.bucket, Key="films/fox.mp4", Body=MP4 + b"x")
        assert video(server).status_code == 409
        bucket.client.put_object(Bucket=bucket.bucket, Key="films/fox.mp4", Body=b"x" * len(MP4))
        assert video(server).status_code == 409
        bucket.client.put_object(Bucket=bucket.bucket, Key="films/fox.mp4", Body=b"x")
        assert video(server).status_code == 409
        bucket.client.delete_object(Bucket=bucket.bucket, Key="films/fox.mp4")
        assert video(server).status_code == 404

    def test_a_storage_that_does_not_answer_is_said_in_a_sentence(
        self, server: Server, bucket: RunningS3, rows: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "STORE_WITHIN", 1.0)
        rows.push("clips", "save", entry("s3://clips_store@clips/films/fox.mp4"))
        with bucket.stopped():
            answer = video(server)
            page = server.client().get("/pika/clip", params=coordinates())
        assert answer.status_code == 502
        assert "cannot read from the storage of s3://clips" in answer.text
        assert "Traceback" not in answer.text
        assert page.status_code == 200  # it asks no storage
        assert video(server).content == MP4

    def test_a_connection_that_there_is_not_is_said_in_a_sentence(
        self, server: Server, rows: Rows, bucket: RunningS3, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__PIKA__CLIP_ROOTS", "s3://no_such_store@clips")
        rows.push("clips", "save", entry("s3://no_such_store@clips/films/fox.mp4"))
        answer = video(server)
        assert answer.status_code == 502
        assert "cannot read from the storage" in answer.text

    def test_a_connection_may_have_the_bucket_send_the_bytes_itself(
        self, server: Server, rows: Rows, bucket: RunningS3, monkeypatch: pytest.MonkeyPatch
    ) -> None:

        connection = json.loads(bucket.connection["AIRFLOW_CONN_CLIPS_STORE"])
        connection["extra"]["pika_sign_urls"] = True
        monkeypatch.setenv("AIRFLOW_CONN_CLIPS_STORE", json.dumps(connection))
        rows.push("clips", "save", entry("s3://clips_store@clips/films/fox.mp4"))
        page = server.client().get("/pika/clip", params=coordinates())
        assert f"media-src 'self' {bucket.url};" in page.headers["content-security-policy"]
        answer = video(server)
        assert answer.status_code == 302
        assert answer.headers["cache-control"] == "no-store"
        signed = httpx.get(answer.headers["location"], headers={"Range": "bytes=0-9"}, trust_env=False)
        assert (signed.status_code, signed.content) == (206, MP4[:10])
        assert signed.headers["content-type"] == "video/mp4"
        bucket.client.put_object(Bucket=bucket.bucket, Key="films/fox.mp4", Body=b"x" * len(MP4))
        assert video(server).status_code == 409  # what is no clip is not signed, either
