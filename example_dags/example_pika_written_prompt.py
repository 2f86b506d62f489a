"""A prompt that a language model writes, in a task of its own.

A retry of `video` uses the prompt that is there. Only a clear of `write` asks the model again, and pays for a new clip.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task
from clips import FOLDER

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

#: What the model is asked.
QUESTION = "Describe one shot of 5 seconds, in one sentence, without text on screen. The product: {product}"


def ask_model(question: str) -> str:
    """Stand for your model's client: a call of an API, or of a model that you run."""
    return f"A slow close-up, soft daylight. {question.partition('The product: ')[2]}"


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    params={"product": Param("a copper kettle on a blue stove", type="string"), "folder": FOLDER},
)
def example_pika_written_prompt():
    @task(retries=2)
    def write(params) -> str:
        """Return the prompt. A model's empty answer fails here, and nothing is paid for."""
        prompt = ask_model(QUESTION.format(product=params["product"])).strip().strip('"')
        if not prompt:
            raise ValueError("The model wrote nothing.")
        return prompt

    video = PikaTextToVideoOperator(
        task_id="video",
        prompt=write(),
        resolution="480p",
        wait_for_completion=True,
        timeout=30 * 60,
        retries=3,
    )
    PikaVideoToObjectStorageOperator(
        task_id="save", video=video.output, path="{{ params.folder }}/{{ task.video.request_id }}.mp4", retries=3
    )


example_pika_written_prompt()
