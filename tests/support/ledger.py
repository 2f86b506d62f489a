"""What came of a Dag run's clips, by Airflow's word and by the emulator's: delivered, failed, paid twice, lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_pika import exceptions as errors
from tests.support.airflow_api import AirflowApi
from tests.support.emulator import RunningEmulator

#: The Dags of ``chaos/dags/chaos.py``, and the ways in which each makes clips.
KINDS = {"chaos": ("clip", "held", "generate"), "chaos_clips": ("clip",), "chaos_held": ("held",)}

#: The task that ends with a clip, by the way; also its prompts' name for the way.
LAST = {"clip": "clip", "held": "held", "generate": "video"}

#: Clips that hold a worker while they are waited for.
HELD = 2

#: How the provider's errors end: with what to do.
ADVICE = {getattr(errors, name).advice for name in errors.__all__} - {""}


@dataclass(frozen=True)
class Row:
    """One fault, and what came of it: numbers of clips, and of submissions that the emulator accepted."""

    fault: str
    clips: int
    delivered: int
    failed: int
    accepted: int
    double: int
    lost: int
    seconds: float


@dataclass(frozen=True)
class Clip:
    """One prompt: the task that must end with its video, and all that was asked for it at the emulator."""

    prompt: str
    task: dict[str, Any]
    video: Any
    requests: list[dict[str, Any]]
    log: str = ""

    @property
    def failed_with_a_reason(self) -> bool:
        """Whether the task failed, and its log says what to do about it."""
        return self.task["state"] == "failed" and any(advice in self.log for advice in ADVICE)

    @property
    def delivered(self) -> bool:
        """Whether the task has the video of a request that was made for this prompt, and that ended well."""
        good = {request["request_id"] for request in self.requests if request["status_code"] == 200}
        return self.task["state"] == "success" and isinstance(self.video, dict) and self.video["request_id"] in good

    def double(self, asked: int = 1) -> int:
        """Count the submissions made while an earlier one could still bring the clip, beyond what a person asked."""
        extra = 0
        for number, later in enumerate(self.requests):
            extra += any(not _had_failed(earlier, later["sent_at"]) for earlier in self.requests[:number])
        return max(0, extra - (asked - 1))


def clips_of(
    airflow: AirflowApi, emulator: RunningEmulator, dag_id: str, run_id: str, name: str, each: int
) -> list[Clip]:
    """Return every clip of a run of one of these Dags."""
    requests = defaultdict(list)
    for request in emulator.requests(f"{name}:"):
        requests[request["input"]["prompt"].partition(";")[0] + ";"].append(request)
    clips = []
    for kind in KINDS[dag_id]:
        last = LAST[kind]
        tasks = {instance["map_index"]: instance for instance in airflow.instances(dag_id, run_id, last)}
        for number in range(HELD if kind == "held" else each):
            prompt = f"{name}: {kind} {number};"
            task = tasks.get(number, {"state": None})
            video = airflow.xcom(dag_id, run_id, last, map_index=number) if task["state"] == "success" else None
            failed = task["state"] == "failed"
            log = airflow.log(dag_id, run_id, last, task["try_number"], number) if failed else ""
            clips.append(Clip(prompt, task, video, requests[prompt], log))
    return clips


def row(
    fault: str, clips: Collection[Clip], seconds: float, *, ended_by_a_person: str = "", asked_twice: str = ""
) -> Row:
    """Add up a run. ``ended_by_a_person`` and ``asked_twice`` are prompts that a person acted on."""
    failed = [clip for clip in clips if clip.failed_with_a_reason or clip.prompt == ended_by_a_person]
    delivered = [clip for clip in clips if clip.delivered]
    return Row(
        fault,
        clips=len(clips),
        delivered=len(delivered),
        failed=len(failed),
        accepted=sum(len(clip.requests) for clip in clips),
        double=sum(clip.double(2 if clip.prompt == asked_twice else 1) for clip in clips),
        lost=len(clips) - len(delivered) - len(failed),
        seconds=seconds,
    )


def table(rows: Collection[Row]) -> list[str]:
    """Lay the rows out for a terminal."""
    cells = [
        ["fault", "clips", "delivered", "failed with a reason", "submissions accepted", "double", "lost", "seconds"]
    ]
    for each in rows:
        fault, *numbers, seconds = asdict(each).values()
        cells.append([fault, *map(str, numbers), f"{seconds:.0f}"])
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in cells
    ]


def _had_failed(request: dict[str, Any], at: float) -> bool:
    """Return whether it had failed by itself: one that was cancelled might have brought the clip."""
    ended = request["ended_at"]
    return ended is not None and ended <= at and request["status_code"] not in (200, 499)
