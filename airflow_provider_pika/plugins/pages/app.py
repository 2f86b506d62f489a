"""The pages, their bytes and their addresses. Every address is relative, so that Airflow may be served below a path.

The functions are plain ones, not coroutines: a storage blocks. Each opens a session of the database for as long as it
asks, and none while it sends: who watches a clip for minutes must not hold a connection.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import quote, urlencode, urlsplit

from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from airflow.utils.session import create_session
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from sqlalchemy.orm import Session

from airflow_provider_pika.plugins.pages import answers, batches, files, queries, review_queries, shown, words
from airflow_provider_pika.plugins.pages.access import Access
from airflow_provider_pika.plugins.pages.entries import Batch, Clip, read_entry, read_request
from airflow_provider_pika.plugins.pages.files import NotShown
from airflow_provider_pika.plugins.pages.queries import Filters, Key
from airflow_provider_pika.plugins.pages.questions import Decision, Judged, read_decision
from airflow_provider_pika.plugins.pages.ranges import asked_part, is_known
from airflow_provider_pika.plugins.pages.roots import Roots
from airflow_provider_pika.task.xcom import REVIEW

#: Where fal shows requests to whoever is signed in there. It may ignore the ID, and then shows all of them.
_AT_FAL = "https://fal.ai/dashboard/requests"

#: What is sent as a clip, or a picture, is never anything else, and is not packed (Starlette 0.48 packs a part).
_BYTES = {"Content-Encoding": "identity", "Content-Disposition": "inline", **answers.NOTHING_ELSE}

#: A host with its port.
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]+")

#: A map index that Airflow may have.
_MAP_INDEX = re.compile(r"-?[0-9]{1,9}")

#: Characters of a filter.
_FILTER = 250


def roots_now() -> Roots:
    """Return what ``[pika] clip_roots`` lists."""
    return Roots.read(conf.get("pika", "clip_roots", fallback=""))


def _access(user: GetUserDep) -> Access:
    return Access(user)


Who = Annotated[Access, Depends(_access)]


def _key(who: Who, dag_id: str, run_id: str, task_id: str, map_index: str = "-1") -> Key:
    """Return the task instance that an address names, if the user may see its Dag.

    A Dag that there is not is answered as one that is closed: nobody learns which there are.
    """
    if not who.may_see(dag_id):
        raise NotShown(403, "You may not read this Dag and its XComs. Whoever manages Airflow's roles can change that.")
    number = int(map_index) if _MAP_INDEX.fullmatch(map_index) else -1
    with create_session(scoped=False) as session:
        return queries.spelled(session, Key(dag_id, run_id, task_id, number))


Named = Annotated[Key, Depends(_key)]

#: The index of a clip in a batch.
Item = Annotated[int | None, Query(ge=0, lt=2**31)]

#: The SHA-256 that a clip must have: what a person was asked about.
Sha256 = Annotated[str | None, Query()]


def _filters(
    dag_id: Annotated[str, Query(max_length=_FILTER)] = "",
    run_id: Annotated[str, Query(max_length=_FILTER)] = "",
    task_id: Annotated[str, Query(max_length=_FILTER)] = "",
    prompt: Annotated[str, Query(max_length=_FILTER)] = "",
) -> Filters:
    return Filters(dag_id.strip(), run_id.strip(), task_id.strip(), prompt.strip())


Narrowed = Annotated[Filters, Depends(_filters)]


def make_app() -> FastAPI:
    """Return the application."""
    from airflow_provider_pika.plugins.pages import reviews  # it takes from this module how addresses are read

    app = FastAPI(title="Clips of Pika", docs_url=None, redoc_url=None, openapi_url=None)
    answers.install(app)
    app.get("/")(_home)
    app.get("/static/{name}")(answers.static)
    app.get("/back/{where}")(answers.back)
    app.get("/clips")(_clips)
    app.get("/clip")(_clip)
    app.get("/batch")(_batch)
    app.get("/request")(_request)
    app.get("/api/clips")(_clips_now)
    app.get("/api/clip")(_clip_now)
    app.get("/review")(reviews.page_of)
    app.get("/review/poster")(reviews.poster)
    app.get("/api/review")(reviews.now)
    app.api_route("/video", methods=["GET", "HEAD"])(_video)
    app.api_route("/poster", methods=["GET", "HEAD"])(_poster)
    return app


def _home() -> Response:
    return RedirectResponse("clips", 307)


def _clips(who: Who, filters: Narrowed, before: str | None = None) -> Response:
    with create_session(scoped=False) as session:
        dags = who.readable_dags()
        try:
            found = queries.newest(session, dags, filters, before, who.closed)
        except queries.BadCursor as error:
            raise NotShown(404, str(error)) from None
        beside = ([], []) if before else _beside(session, who, dags, filters)
        decisions = _read(review_queries.decisions_in(session, {row.run for row in found.rows}))
    cards = [card for row in found.rows if (card := shown.card(row, decisions))]
    values: dict[str, Any] = {"filters": filters, "cards": cards, "older": found.older}
    state = shown.version(found.rows, *beside)
    return answers.page(
        "clips.html", **values, going_on=beside[0], failed=beside[1], roots=roots_now(), before=before, version=state
    )


def _clips_now(who: Who, filters: Narrowed) -> Response:
    """Say whether the first page is as it was, and whether anything runs: what a page asks every few seconds."""
    with create_session(scoped=False) as session:
        dags = who.readable_dags()
        found = queries.newest(session, dags, filters, None, who.closed)
        going_on, failed = _beside(session, who, dags, filters)
    return _now(shown.version(found.rows, going_on, failed), bool(going_on))


def _beside(
    session: Session, who: Access, dags: set[str], filters: Filters
) -> tuple[list[shown.Waiting], list[shown.Waiting]]:
    """Return the tasks that wait, and those that have failed, as far as the user may see them."""
    lists = (queries.going_on(session, dags, filters), queries.failed(session, dags, filters))
    return tuple(  # type: ignore[return-value]
        [
            told
            for task in tasks
            if who.may_see(task.key.dag_id)
            and (told := shown.waiting(task, _question(session, task)))
            and told.has_prompt(filters.prompt)
        ]
        for tasks in lists
    )


def _question(session: Session, task: queries.Task) -> Any:
    return queries.value_of(session, task.key, REVIEW) if task.operator in queries.REVIEWERS else None


def _now(version: str, busy: bool) -> Response:
    return JSONResponse({"version": version, "busy": busy}, headers={"Cache-Control": "no-store"})


def _clip(request: Request, key: Named, item: Item = None) -> Response:
    with create_session(scoped=False) as session:
        task = queries.task_of(session, key)
        entry = read_entry(queries.entry_of(session, key))
        at = key
        if task and entry is None and item is None:
            at, entry = _saved_elsewhere(session, key, task)
    told = task and shown.waiting(task)
    if told and told.is_review:
        return RedirectResponse(f"review?{urlencode(key.query)}", 307)
    roots = roots_now()
    if isinstance(entry, Batch) and item is None:
        return RedirectResponse(f"batch?{urlencode(at.query)}", 307)
    clip = _item_of(roots, at, entry, item) if isinstance(entry, Batch) else entry
    decided = _decisions_on(at, clip)
    values: dict[str, Any] = {"key": key, "at": at, "task": told, "item": item, "roots": roots, "decisions": decided}
    version = shown.version((), [told] if told else [], [])
    if clip is None:
        url = _fals_url(key) if task else None
        media = origin(url) if url else ""
        return answers.page("clip.html", 200, media, **values, clip=None, at_fal=url, why_not=None, version=version)
    why_not, media = None, ""
    try:
        files.located(roots, clip.path, clip.conn_id)
        media = origin(files.signed_url(roots, clip.path, clip.conn_id) or "")
    except NotShown as error:
        why_not = error.words
    return answers.page("clip.html", 200, media, **values, clip=clip, at_fal=None, why_not=why_not, version=version)


def _decisions_on(key: Key, clip: Clip | None) -> list[tuple[Key, Decision, Judged]]:
    """Return what people have decided on a clip in its run: the task that asked, the decision, and its part of it."""
    if clip is None:
        return []
    with create_session(scoped=False) as session:
        found = _read(review_queries.decisions(session, key, clip.sha256))
    return shown.decisions_on(key, clip, found)


def _read(decisions: list[tuple[Key, Any]]) -> list[tuple[Key, Decision]]:
    return [(at, told) for at, value in decisions if (told := read_decision(value))]


def _clip_now(key: Named) -> Response:
    with create_session(scoped=False) as session:
        task = queries.task_of(session, key)
    told = task and shown.waiting(task)
    return _now(shown.version((), [told] if told else [], []), bool(told and told.is_going_on))


def _batch(key: Named, after: Item = None) -> Response:
    with create_session(scoped=False) as session:
        task = queries.task_of(session, key)
        entry = read_entry(queries.entry_of(session, key))
    if not isinstance(entry, Batch):
        raise NotShown(404, "That task instance has saved no batch.")
    roots, items, more, why_not = roots_now(), list[batches.Item](), None, None
    try:
        items, more = lines_of(roots, key, entry).page(after)
    except NotShown as error:
        why_not = error.words
    values: dict[str, Any] = {"items": items, "after": after, "more": more, "why_not": why_not, "roots": roots}
    return answers.page("batch.html", key=key, batch=entry, task=task and shown.waiting(task), **values)


def _request(key: Named) -> Response:
    """Lead to the request in fal's dashboard, or, where the queue is not fal's own, to the clip's page."""
    with create_session(scoped=False) as session:
        request_id = read_request(queries.value_of(session, key, queries.REQUEST)).request_id
        request_id = request_id or queries.value_of(session, key, queries.REQUEST_ID)
        conn_id = queries.rendered_of(session, key, "pika_conn_id")
    if not isinstance(request_id, str) or not shown.is_at_fal(conn_id):
        return RedirectResponse(f"clip?{urlencode(key.query)}", 307)
    return RedirectResponse(f"{_AT_FAL}?requestId={quote(request_id, safe='')}", 307, {"Cache-Control": "no-store"})


def _video(request: Request, key: Named, item: Item = None, sha256: Sha256 = None) -> Response:
    roots = roots_now()
    clip = _saved(roots, key, item, sha256)
    if clip is None:
        if sha256 is None and (url := _fals_url(key)):
            return _elsewhere(url)
        raise NotShown(404, "That task instance has saved no clip.")
    stored = files.clip_at(roots, clip.path, clip.conn_id, clip.size)
    if url := files.signed_url(roots, clip.path, clip.conn_id):
        return _elsewhere(url)
    kept = {**_BYTES, "ETag": clip.etag, "Cache-Control": "private, no-cache"}
    if is_known(request.headers.get("if-none-match"), clip.etag):
        return Response(status_code=304, headers=kept)
    part = asked_part(request.headers.get("range"), request.headers.get("if-range"), clip.etag, clip.size)
    if part is None:
        return Response(status_code=416, headers={**kept, "Content-Range": f"bytes */{clip.size}"})
    status, headers = 200 if part.is_whole else 206, {**kept, **part.headers}
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type="video/mp4")
    pieces = stored.pieces(part.start, part.end)
    return StreamingResponse(pieces, status_code=status, headers=headers, media_type="video/mp4")


def _poster(request: Request, key: Named, item: Item = None, sha256: Sha256 = None) -> Response:
    roots = roots_now()
    clip = _saved(roots, key, item, sha256)
    if clip is None or clip.poster is None:
        raise NotShown(404, "The clip has no picture.")
    content = files.picture_at(roots, clip.poster, clip.conn_id)
    etag = f'"{shown.digest(content)}"'
    kept = {**_BYTES, "ETag": etag, "Cache-Control": "private, no-cache"}
    if is_known(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=kept)
    return Response(content if request.method == "GET" else b"", headers=kept, media_type="image/jpeg")


def _elsewhere(url: str) -> Response:
    """Lead the browser to where the bytes are, by an address that nobody keeps."""
    return RedirectResponse(url, 302, {"Cache-Control": "no-store"})


def _saved(roots: Roots, key: Key, item: int | None, sha256: str | None) -> Clip | None:
    """Return the clip that an address names; None: nothing is saved.

    :raises NotShown: another clip is saved there than the one that is asked for.
    """
    with create_session(scoped=False) as session:
        entry = read_entry(queries.entry_of(session, key))
    if isinstance(entry, Batch):
        clip = _item_of(roots, key, entry, entry.cover if item is None else item)
    else:
        clip = entry if item is None else None
    if clip and sha256 is not None and sha256 != clip.sha256:
        raise NotShown(409, words.REPLACED)
    return clip


def _item_of(roots: Roots, key: Key, batch: Batch, item: int | None) -> Clip | None:
    found = None if item is None else lines_of(roots, key, batch).item(item)
    clip = found.clip if found else None
    return clip and replace(clip, saved_at=clip.saved_at or batch.saved_at)


def lines_of(roots: Roots, key: Key, batch: Batch) -> batches.Lines:
    """Return the lines of a batch that a task instance has saved.

    :raises NotShown: its manifest may not be shown, or cannot be read.
    """
    returned = None
    if batch.manifest is None:
        with create_session(scoped=False) as session:
            returned = queries.value_of(session, key, "return_value") or queries.value_of(session, key, "manifest")
    return batches.lines_of(roots, batch, returned)


def _saved_elsewhere(session: Session, key: Key, task: queries.Task) -> tuple[Key, Clip | Batch | None]:
    """Return what another task of the run has saved of this task's request."""
    request_id = read_request(task.request).request_id or queries.value_of(session, key, queries.REQUEST_ID)
    request_id = request_id or shown.request_of(queries.value_of(session, key, "return_value"))
    found = queries.saved_of_request(session, key, request_id) if isinstance(request_id, str) else None
    return (found, read_entry(queries.entry_of(session, found))) if found else (key, None)


def _fals_url(key: Key) -> str | None:
    """Return fal's URL of a clip that is not saved, if its host is one that the task's connection trusts."""
    with create_session(scoped=False) as session:
        task = queries.task_of(session, key)
        returned = queries.value_of(session, key, "return_value") if task else None
        conn_id = queries.rendered_of(session, key, "pika_conn_id") if returned else None
    return shown.trusted_url(returned, conn_id)


def origin(url: str) -> str:
    """Return where a URL leads, as the policy of a page names it; nothing of what else a policy may say."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if _HOST.fullmatch(parts.netloc) else ""
