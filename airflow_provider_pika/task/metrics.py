"""What monitoring is told of a clip, through Airflow's own metrics and where those are on: names, units and tags.

What is not known is not sent, and nothing is asked of fal for a metric. No metric fails a task.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_pika.exceptions import PikaError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_pika.fal.models import Video
    from airflow_provider_pika.fal.prices import Cost

#: Counters: clips that have ended, and what those that are done cost, in millionths of a US dollar.
CLIPS, COST = "pika.clips", "pika.cost_microusd"

#: Timings, as Airflow's own in milliseconds: in fal's queue, and on a runner.
QUEUE_TIME, RUN_TIME = "pika.queue_time", "pika.run_time"

#: The key in the task's state of the ending that was counted last: a clear, or a retry, may find the same clip again.
COUNTED = "pika_counted"

#: The tag ``error`` of a clip that is done: a name has the same tags always, as Prometheus wants it.
NO_ERROR = "none"

#: What switches Airflow's metrics on, in its section ``metrics``.
_SWITCHES = ("statsd_on", "statsd_datadog_enabled", "otel_on")

#: What no tag may have: Airflow drops a metric with a slash in a tag if it writes tags as InfluxDB reads them.
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]")

#: Characters of a tag: Airflow drops a metric whose name has more than 250, with its tags.
_LONGEST_TAG = 100


@dataclass(frozen=True)
class Metric:
    """What is sent: a counter if its value is a number, else a timing."""

    name: str
    value: int | timedelta
    tags: Mapping[str, str] = field(default_factory=dict)


def are_on() -> bool:
    """Return whether this Airflow sends metrics anywhere."""
    return any(map(_is_on, _SWITCHES))


def of_ending(endpoint: str, outcome: Video | PikaError, cost: Cost | None = None) -> list[Metric]:
    """Return what an ending counts as. A clip that was reused ran at another time, so it has no time of a run.

    :param cost: what the clip cost; None: it is not known here.
    """
    from airflow_provider_pika.fal.prices import REUSED

    tags = {"endpoint": _tag(endpoint)}
    if isinstance(outcome, PikaError):
        return [Metric(CLIPS, 1, {**tags, "state": "failed", "error": type(outcome).__name__})]
    metrics = [Metric(CLIPS, 1, {**tags, "state": "done", "error": NO_ERROR})]
    if outcome.inference_time is not None and not (cost and cost.source == REUSED):
        metrics.append(Metric(RUN_TIME, timedelta(seconds=outcome.inference_time), tags))
    return metrics + of_costs(endpoint, [cost] if cost else [])


def of_costs(endpoint: str, costs: Iterable[Cost]) -> list[Metric]:
    """Return the sum of what clips cost, rounded once, half to even; what is unknown, or no US dollars, is left out."""
    from airflow_provider_pika.fal.prices import total

    dollars = total(costs).amounts.get("USD")
    return [] if dollars is None else [Metric(COST, round(dollars * 1_000_000), {"endpoint": _tag(endpoint)})]


def of_queue(endpoint: str | None, submitted_at: str | None, started_at: str | None) -> list[Metric]:
    """Return how long a request waited in fal's queue, by fal's own times (ISO 8601)."""
    if not (endpoint and submitted_at and started_at):
        return []
    waited = datetime.fromisoformat(started_at) - datetime.fromisoformat(submitted_at)
    return [Metric(QUEUE_TIME, waited, {"endpoint": _tag(endpoint)})] if waited >= timedelta() else []


def send(metrics: Iterable[Metric]) -> None:
    """Send metrics, if Airflow's are on. Never raises."""
    try:
        if are_on():
            _send(metrics)
    except Exception:  # noqa: S110 (a task's log is no place for each packet that is lost)
        pass


def send_once(context: Context, request_id: str | None, metrics: list[Metric]) -> None:
    """Send the metrics of an ending, unless this task has sent them before. Never raises.

    Before Airflow 3.3, nothing is kept of what was sent.

    :param request_id: None: fal accepted no request, so each attempt's is another.
    """
    try:
        if not are_on() or (request_id and not _is_new(context, f"{request_id} {metrics[0].tags['state']}")):
            return
    except (Exception, AirflowTaskTimeout):  # noqa: S110 (which is a BaseException; counted twice is better than not)
        pass
    send(metrics)


def _is_new(context: Context, ending: str) -> bool:
    """Keep an ending; return whether it was not kept before."""
    store: Any = context.get("task_state_store")
    if store is None:
        return True
    if store.get(COUNTED) == ending:
        return False
    store.set(COUNTED, ending)
    return True


def _send(metrics: Iterable[Metric]) -> None:
    from airflow.providers.common.compat.sdk import Stats

    for metric in metrics:
        tags = dict(metric.tags)
        if isinstance(metric.value, timedelta):
            Stats.timing(metric.name, metric.value, tags=tags)
            continue
        Stats.incr(metric.name, metric.value, tags=tags)
        if "state" in tags and _drops_tags():  # done and failed clips would be one number
            Stats.incr(f"{metric.name}.{tags['state']}", metric.value, tags=tags)


def _drops_tags() -> bool:
    """Return whether Airflow writes StatsD's plain format, which has no tags."""
    return _is_on("statsd_on") and not _is_on("statsd_influxdb_enabled") and not _is_on("statsd_datadog_enabled")


def _is_on(switch: str) -> bool:
    from airflow.providers.common.compat.sdk import conf

    return bool(conf.getboolean("metrics", switch, fallback=False))


def _tag(value: str) -> str:
    return _UNFIT.sub("_", value)[:_LONGEST_TAG]
