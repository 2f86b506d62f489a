"""An alert that says what happened at fal, which request it was, and whether trying again can help."""

from __future__ import annotations

from airflow.sdk import Param, dag
from clips import FOLDER

from airflow_provider_pika.exceptions import PikaError
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator


def send(text: str) -> None:
    """Stand for your channel: a chat, a pager, an email."""
    print(text)


def pika_error_of(error: object) -> PikaError | None:
    """Return the error of this provider in which a task's failure began, if there is one."""
    while isinstance(error, BaseException):
        if isinstance(error, PikaError):
            return error
        error = error.__cause__
    return None


def alert(context) -> None:
    """Tell a person. Airflow calls this once, when no retry is left."""
    ti = context["ti"]
    failed = context.get("exception")
    error = pika_error_of(failed)
    lines = [f"{ti.dag_id}.{ti.task_id} failed in {ti.run_id}"]
    if error is None:  # a person marked it, its worker died, or it is no error of fal's
        lines.append(str(failed or "Airflow gives no reason. Look at fal for a request that still runs."))
    else:
        lines += [
            f"{type(error).__name__}: {error}",  # fal's words, what became of the request and the money, what to do
            f"Request: {error.request_id or 'none'}",
            f"The same again may help: {'yes' if error.retry_helps else 'no'}",
        ]
    send("\n".join(lines))


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    default_args={"on_failure_callback": alert},
    params={
        # the emulator refuses what asks for it like this; fal decides by itself
        "prompt": Param("What no content checker lets through [[content_policy_violation]]", type="string"),
        "folder": FOLDER,
    },
)
def example_pika_alert():
    video = PikaTextToVideoOperator(
        task_id="video",
        prompt="{{ params.prompt }}",
        resolution="480p",
        wait_for_completion=True,
        timeout=30 * 60,
        retries=3,
    )
    PikaVideoToObjectStorageOperator(
        task_id="save", video=video.output, path="{{ params.folder }}/{{ task.video.request_id }}.mp4", retries=3
    )


example_pika_alert()
