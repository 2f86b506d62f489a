"""A person watches the clip before it is published, and your chat tells them that it waits.

`review` waits on its page, and in "Required Actions". If the person rejects the clip, or nobody answers for two
days, `publish` is skipped. The connection `pika_chat` has the URL of your chat's incoming webhook as its password.
Without the connection, nobody is told.
"""

from __future__ import annotations

from datetime import timedelta

import httpx
from airflow.exceptions import AirflowNotFoundException
from airflow.sdk import BaseNotifier, Connection, ObjectStoragePath, Param, dag, task
from clips import FOLDER

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.operators.review import PikaReviewOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

#: Pictures that one message has.
MOST = 4


class ChatNotifier(BaseNotifier):
    """Post the question with its link and the posters of its clips, as chats take messages with files."""

    def notify(self, context) -> None:
        """Post it. The question does not wait for the chat: what goes wrong is a line in the log."""
        try:
            url = Connection.get("pika_chat").password
            review = context["task"]
            posters = [clip["poster"] for clip in review.shown if clip.get("poster")][:MOST]
            files = {f"clip{n}": (f"{n}.jpg", ObjectStoragePath(at).read_bytes()) for n, at in enumerate(posters, 1)}
            text = f"{review.subject}: {review.page_url(context)}"
            httpx.post(url, data={"content": text}, files=files or None, timeout=30).raise_for_status()
        except AirflowNotFoundException:
            self.log.info("There is no connection pika_chat, so nobody is told.")
        except Exception as error:  # its text may have the URL, which is a secret
            self.log.warning("Nobody is told in the chat: %s", type(error).__name__)


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    params={"prompt": Param("A lighthouse in a storm, seen from the sea", type="string"), "folder": FOLDER},
)
def example_pika_approval():
    video = PikaTextToVideoOperator(
        task_id="video",
        prompt="{{ params.prompt }}",
        resolution="480p",
        wait_for_completion=True,
        timeout=30 * 60,
        retries=3,
    )
    save = PikaVideoToObjectStorageOperator(
        task_id="save",
        video=video.output,
        path="{{ params.folder }}/{{ task.video.request_id }}.mp4",
        retries=3,
        retry_delay=timedelta(seconds=30),
    )
    review = PikaReviewOperator(
        task_id="review",
        clips=save.output,
        timeout=timedelta(days=2),
        on_timeout="skip",
        notifiers=[ChatNotifier()],
        retries=2,
    )

    @task
    def publish(clips) -> str:
        """Stand for what you do with it."""
        [clip] = clips
        print(f"Published {clip['path']}, SHA-256 {clip['sha256']}, approved by {clip['reviewed_by']}")
        return clip["path"]

    publish(review.output)


example_pika_approval()
