"""Each morning, one message in your chat: what the clips of the day before cost, by Dag.

It needs two connections. `pika_admin` has a key of fal's with the ADMIN right. `pika_report` has the URL of your chat's
incoming webhook as its password, since whoever knows the URL can post. Unpause the Dag once you have both.
"""

from __future__ import annotations

import re
from datetime import timedelta

import httpx
import pendulum
from airflow.sdk import Connection, Param, dag, task

from airflow_provider_pika.hooks.pika import PikaHook

#: Where a day begins and ends. "Europe/Lisbon" does as well.
ZONE = "UTC"

#: Dags that the message names.
MOST = 30


def in_words(costs: dict) -> str:
    """Return a sum. What is unknown is said to be unknown: it is no 0."""
    parts = [f"{amount} {currency}" for currency, amount in costs["amounts"].items()]
    parts += [f"{costs['unknown']} of unknown cost"] if costs["unknown"] else []
    return f"{' and '.join(parts) or 'nothing'} (requests: {costs['requests']})"


def message_of(report: dict) -> str:
    """Return the report as a chat shows it."""
    lines = [f"Pika, {report['since']} to {report['until']}, from {report['source']}: {in_words(report['total'])}"]
    for group in report["groups"][:MOST]:
        dag_id = re.sub(r"[^\w.-]", "_", group["dag"] or "")  # keys are shared: a stranger's tag may have "@channel"
        lines.append(f"- {dag_id or 'unknown Dag'}: {in_words(group)}")
    if len(report["groups"]) > MOST:
        lines.append(f"- and {len(report['groups']) - MOST} more Dags")
    if report["differing"]["requests"]:
        lines.append(f"fal billed otherwise than by your price: {report['differing']['requests']}")
    lines += [f"Unknown, {each['clips']} times: {each['reason']}" for each in report["total"]["reasons"]]
    return "\n".join([*lines, *report["notes"]])


@dag(
    schedule="0 6 * * *",  # not at midnight: fal's books lag behind
    catchup=False,
    is_paused_upon_creation=True,
    tags=["pika"],
    params={
        "day": Param(None, type=["null", "string"], format="date", description="Another day than the one before"),
    },
)
def example_pika_morning_report():
    @task(retries=5, retry_delay=timedelta(minutes=5))
    def costs(dag_run, params) -> str:
        """Ask fal. This only reads, so that a retry does no harm."""
        # a plain cron schedule has an empty data interval, and a run by hand has none: count from run_after
        before = pendulum.instance(dag_run.run_after).in_timezone(ZONE).subtract(days=1)
        day = pendulum.parse(params["day"], tz=ZONE) if params["day"] else before.start_of("day")
        return message_of(PikaHook("pika_admin").spend(day, day.add(days=1), by="dag"))

    @task(retries=2, retry_delay=timedelta(minutes=1))
    def post(text: str) -> None:
        """Post it. If the webhook's answer is lost, a retry posts the same text twice."""
        url = Connection.get("pika_report").password
        answer = httpx.post(url, json={"text": text}, timeout=30)
        if not answer.is_success:  # httpx's own error has the URL in it
            raise RuntimeError(f"The webhook refused the message: HTTP {answer.status_code}")

    post(costs())


example_pika_morning_report()
