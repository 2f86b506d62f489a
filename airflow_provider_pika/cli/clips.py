"""One clip from the command line: submitted once, waited for, and saved as the saving operator does it."""

from __future__ import annotations

import os
import secrets
import shlex
import time
from argparse import Namespace
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.cli.arguments import PROGRAM
from airflow_provider_pika.cli.errors import Stopped, UsageError, said
from airflow_provider_pika.cli.inputs import QuietHook, inputs_of
from airflow_provider_pika.cli.output import Bar, json_text, say, tell
from airflow_provider_pika.exceptions import PathTaken, PikaError, SubmitUnknown, UnexpectedAnswer
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.ids import check_request_id
from airflow_provider_pika.fal.inputs import SubmitControls
from airflow_provider_pika.fal.models import Video
from airflow_provider_pika.fal.polling import Done, Ending, Failed, PollAgain, Wait, decide
from airflow_provider_pika.fal.progress import Progress
from airflow_provider_pika.fal.submission import SEEDS
from airflow_provider_pika.hooks import DEFAULT_CONNECTION, costs
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.task.paths import SIDECAR, checked_path

if TYPE_CHECKING:
    from airflow_provider_pika.fal.client import FalQueue
    from airflow_provider_pika.saving.metadata import Metadata

#: Seconds between two pictures of the bar.
_FRAME = 0.25

#: Who saved a clip, in its metadata file, where a task stands otherwise.
_WHO = SimpleNamespace(dag_id="command-line", run_id="command-line", task_id="generate", map_index=None)


def result(args: Namespace) -> int:
    """Show the clip of a request that has ended, and save it if that is asked for."""
    check_request_id(args.request_id)
    path = _path_of(args)
    hook = QuietHook(args.conn_id)
    with hook.get_conn() as queue:
        poll = queue.poll(args.endpoint, args.request_id)
    if isinstance(poll.outcome, PikaError):
        raise poll.outcome
    if poll.outcome is None:
        seen = poll.status.status if poll.status else "unknown"
        raise UnexpectedAnswer(f"The request has not ended: {seen}.", request_id=args.request_id)
    _show(args, hook, poll.outcome, path, {})
    return 0


def generate(args: Namespace) -> int:
    """Generate one clip, and wait for it."""
    if not 0 < args.timeout < 1e9:
        raise UsageError("--timeout takes seconds, more than 0.")
    inputs = inputs_of(args)
    if not isinstance(inputs, Mapping):
        raise UsageError("One clip takes one object of inputs: the file has something else.")
    [arguments] = costs.inputs_of(inputs, args.endpoint)
    arguments.setdefault("seed", secrets.randbelow(SEEDS))
    path = _path_of(args)
    hook = QuietHook(args.conn_id)
    if path:
        _refuse_taken(path, args.overwrite)
    with hook.get_conn() as queue:
        request_id = _submit(queue, args, arguments)
        asked = {"input": arguments, "submitted_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        try:
            tell(f"Submitted to {args.endpoint}: request {request_id}, seed {arguments['seed']}")
            ending = _wait(queue, args, request_id)
            if isinstance(ending, Done):
                _show(args, hook, ending.video, path, asked)
                return 0
        except KeyboardInterrupt:
            goes_on = f"Request {request_id} goes on at fal, and may be charged."
            raise Stopped(f"Interrupted. {goes_on} {_how_to_go_on(args, request_id)}") from None
        except PikaError as error:  # the clip is there, and was not saved
            tell(f"pika: {said(error)}")
            tell(_how_to_get(args, request_id))
            return 1
    if isinstance(ending, Failed):
        raise ending.error
    tell(f"pika: {ending.message} {ending.consequence}")
    tell(_how_to_go_on(args, request_id))
    return 1


def _submit(queue: FalQueue, args: Namespace, arguments: Mapping[str, Any]) -> str:
    """Submit, once: only what fal certainly did not accept is posted again."""
    unknown = f"fal may have accepted it, and may charge it. To look for it: {_command('requests', args)}"
    try:
        return queue.submit(args.endpoint, arguments, SubmitControls())
    except KeyboardInterrupt:
        raise Stopped(f"Interrupted during the submit. {unknown}") from None
    except SubmitUnknown as error:
        error.consequence = unknown
        raise


def _wait(queue: FalQueue, args: Namespace, request_id: str) -> Ending:
    began, progress, bar = time.time(), Progress(), Bar()
    wait = Wait(request_id, began + args.timeout, None, args.timeout)
    try:
        while True:
            poll = queue.poll(args.endpoint, request_id)
            step = decide(wait, poll, time.time())
            for line in progress.news(poll, step):
                bar.tell(str(line))
            if not isinstance(step, PollAgain):
                return step
            _pause(step.after, began, bar)
            wait = step.wait
    finally:
        bar.clear()


def _pause(seconds: float, began: float, bar: Bar) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        bar.show(time.time() - began)
        time.sleep(min(left, _FRAME) if bar.is_shown else left)


def _show(args: Namespace, hook: PikaHook, video: Video, path: str | None, asked: Mapping[str, Any]) -> None:
    cost = costs.cost_of(hook, video.endpoint, video.billable_units)
    sent = asked.get("input") or {}
    shown = {
        **video.model_dump(),
        "billable_units": video.billable_units,
        "cost": cost.as_json(),
        **{name: sent[name] for name in ("prompt", "seed") if name in sent},
    }
    saved = _save(hook, video, path, args.overwrite, asked) if path else None
    if args.json:
        say(json_text({**shown, **({"saved": saved.in_short()} if saved else {})}))
        return
    say(f"{saved.path if saved else video.url}")
    tell(f"Cost: {cost}" + (f". {cost.reason}" if cost.reason else ""))


def _save(hook: PikaHook, video: Video, path: str, overwrite: bool, asked: Mapping[str, Any]) -> Metadata:
    from airflow_provider_pika.media.download import Limits
    from airflow_provider_pika.saving import lookup
    from airflow_provider_pika.saving.metadata import saved_by, told_by
    from airflow_provider_pika.saving.object_store import Place
    from airflow_provider_pika.saving.poster import Poster, can_be_made
    from airflow_provider_pika.saving.save import Save
    from airflow_provider_pika.task.paths import POSTER

    def told() -> Mapping[str, Any]:
        with hook.get_conn(lookup.WITHIN) as queue:
            remembered = queue.remember(video.endpoint, video.request_id, video.billable_units)
        return told_by(asked, remembered, lambda units: costs.cost_of(hook, video.endpoint, units))

    def outcome() -> object:
        with hook.get_conn(lookup.WITHIN) as queue:
            return queue.poll(video.endpoint, video.request_id).outcome

    place = Place(path)
    poster = Poster(Place(path + POSTER), can_be_made(tell), overwrite, tell)
    save = Save(
        video=video.model_dump(),
        place=place,
        sidecar=Place(path + SIDECAR),
        trust=hook.trust(),
        limits=Limits(3600.0, 30.0, 2 * 1024**3),
        told=told,
        overwrite=overwrite,
        must_fit=True,
        tell=tell,
        poster=poster,
    )
    return save.recognised() or lookup.land(save, outcome, lambda: saved_by(_WHO))


def _path_of(args: Namespace) -> str | None:
    """Return where the clip is saved: a path of this folder becomes absolute, as it is for a shell."""
    if args.save is None:
        if args.overwrite:
            raise UsageError("--overwrite needs --save PATH.")
        return None
    text = args.save
    if "://" not in text and text.strip():
        text = os.path.abspath(text) + ("/" if text.endswith("/") else "")
    return checked_path(text, "--save", suffix=SIDECAR, consequence="Nothing was sent to fal.")


def _refuse_taken(path: str, overwrite: bool) -> None:
    """Refuse before it costs anything what could not be saved; and find out that the storage can be reached."""
    from airflow_provider_pika.saving.object_store import Place

    is_taken = any(Place(each).size() is not None for each in (path, path + SIDECAR))
    if is_taken and not overwrite:
        consequence = "Nothing was sent to fal. Name another path, or add --overwrite."
        raise PathTaken(f"{path} has a file, or a metadata file, already.", consequence=consequence)


def _how_to_go_on(args: Namespace, request_id: str) -> str:
    return f"{_how_to_get(args, request_id)} To cancel it: {_command('cancel', args, request_id)}"


def _how_to_get(args: Namespace, request_id: str) -> str:
    save = ("--save", args.save) if args.save else ()
    return f"To get its clip: {_command('result', args, request_id, *save)}"


def _command(name: str, args: Namespace, *words: str) -> str:
    """Return a command that a person can paste."""
    known = [(args.endpoint, TEXT_TO_VIDEO, "--endpoint"), (args.conn_id, DEFAULT_CONNECTION, "--conn-id")]
    options = [word for value, usual, option in known if value != usual for word in (option, value)]
    return f"{PROGRAM} {shlex.join([name, *words, *options])}"
