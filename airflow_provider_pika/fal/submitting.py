"""A submit: one POST, repeated only while fal certainly accepted nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_pika.exceptions import TryLater
from airflow_provider_pika.fal import requests
from airflow_provider_pika.fal.inputs import SubmitControls
from airflow_provider_pika.fal.sansio import Conversation, Pause

#: Seconds before each repeat. Airflow's own retries come after these.
REPEAT_AFTER = (1.0, 4.0)

#: Seconds that a worker's slot is worth; where fal asks for a longer pause, Airflow's retry is the better place for it.
LONGEST_PAUSE = 30.0


def submit(
    endpoint: str,
    arguments: Mapping[str, Any],
    controls: SubmitControls,
    check: Callable[[], object] = lambda: None,
) -> Conversation[str]:
    """Submit and give the request id.

    It ends in one of three ways: accepted, the id; certainly refused, the last refusal raised; unknown, raised at once.

    :param check: is called before each POST; it raises where nothing is to be submitted any more.
    :raises SubmitUnknown: fal may have accepted it.
    :raises PikaError: any other: fal accepted nothing.
    """
    repeats = 0
    while True:
        check()
        try:
            request_id: str = yield requests.submit(endpoint, arguments, controls)
        except TryLater as error:
            pause = pause_before_repeat(error, repeats)
            if pause is None:
                raise
            repeats += 1
            yield Pause(pause)
        else:
            return request_id


def pause_before_repeat(refusal: TryLater, repeats: int) -> float | None:
    """Give the seconds to wait before a refused submit is posted again; None if it is not.

    :param repeats: how often it was posted again already.
    """
    wanted = refusal.retry_after or 0.0
    if repeats >= len(REPEAT_AFTER) or wanted > LONGEST_PAUSE:
        return None
    return max(REPEAT_AFTER[repeats], wanted)
