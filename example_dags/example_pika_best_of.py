"""The best of three takes, chosen by a person. If none is good, the next round has the person's note in its prompt."""

from __future__ import annotations

from datetime import timedelta

from airflow.exceptions import AirflowSkipException
from airflow.sdk import Param, chain, dag, task, task_group
from clips import FOLDER

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.operators.review import PikaReviewOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

#: Each round is paid for, so there is a last one.
ROUNDS = 3

#: The takes of each round.
TAKES = 3

#: A round that was not needed is skipped, and what follows all of them is not.
SOME = "none_failed_min_one_success"


@task(trigger_rule="none_failed")
def words(number, params, ti) -> str:
    """Return the prompt of a round. It skips the round, unless the round before was rejected."""
    if number == 1:
        return params["prompt"]
    before = ti.xcom_pull(task_ids=f"round_{number - 1}.review", key="review")
    if before is None or before["answer"] != "reject":
        raise AirflowSkipException("The round before has chosen, or was not needed.")
    return f"{params['prompt']}. {before['note'] or ''}".strip()


@task_group
def one_round(number):
    """Generate the takes, save them, and ask."""
    take = PikaTextToVideoOperator.partial(
        task_id="take",
        prompt=words(number),
        resolution="480p",
        wait_for_completion=True,
        timeout=30 * 60,
        retries=3,
        map_index_template="seed {{ task.seed }}",
    ).expand(seed=[10 * number + place for place in range(TAKES)])
    save = PikaVideoToObjectStorageOperator.partial(
        task_id="save", path="{{ params.folder }}/{{ task.video.request_id }}.mp4", retries=3
    ).expand(video=take.output)
    PikaReviewOperator(
        task_id="review",
        clips=save.output,
        choose=1,
        on_reject="empty",
        timeout=timedelta(days=2),
        body="If none is good, reject all, and say in the note what should be different.",
        retries=2,
    )


def decided(ti, decision) -> list[dict]:
    """Return the takes of all rounds that were kept, or rejected."""
    answers = [ti.xcom_pull(task_ids=f"round_{number}.review", key="review") for number in range(1, ROUNDS + 1)]
    return [clip for each in answers if each for clip in each["clips"] if clip["decision"] == decision]


@task(trigger_rule=SOME)
def publish(ti) -> str:
    """Stand for what you do with it."""
    kept = decided(ti, "keep")
    if not kept:
        raise ValueError(f"None of the takes of {ROUNDS} rounds was good enough.")
    print(f"Published {kept[0]['path']}, SHA-256 {kept[0]['sha256']}")
    return kept[0]["path"]


@task(trigger_rule=SOME)
def leftovers(ti) -> list[str]:
    """Return the takes that nobody chose, for whatever removes them."""
    return [clip["path"] for clip in decided(ti, "reject")]


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    params={"prompt": Param("A paper boat crosses a puddle in the rain", type="string"), "folder": FOLDER},
)
def example_pika_best_of():
    rounds = [one_round.override(group_id=f"round_{number}")(number) for number in range(1, ROUNDS + 1)]
    chain(*rounds)
    rounds >> publish()
    rounds >> leftovers()


example_pika_best_of()
