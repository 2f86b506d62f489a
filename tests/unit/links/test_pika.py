from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_pika.decorators.pika import _PikaTextToVideoDecoratedOperator
from airflow_provider_pika.links.pika import ClipLink, FileLink, RequestLink
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator


@pytest.mark.parametrize(
    ("operator", "names"),
    [
        (PikaTextToVideoOperator, ["Clip", "Request at fal"]),
        (_PikaTextToVideoDecoratedOperator, ["Clip", "Request at fal"]),
        (PikaVideoSensor, ["Clip", "Request at fal"]),
        (PikaTextToVideoBatchOperator, ["Clip"]),
        (PikaVideoToObjectStorageOperator, ["Clip", "File"]),
        (PikaBatchToObjectStorageOperator, ["Clip"]),
    ],
)
def test_each_task_has_the_links_that_it_can_have(operator: Any, names: list[str]) -> None:
    assert [link.name for link in operator.operator_extra_links] == names


@pytest.mark.parametrize(("link", "page"), [(ClipLink(), "clip"), (RequestLink(), "request"), (FileLink(), "video")])
@pytest.mark.parametrize("map_index", [-1, 0, 7])
def test_a_link_leads_to_a_page_of_exactly_this_task_instance(link: Any, page: str, map_index: int) -> None:
    names = {"dag_id": "a.b", "run_id": "manual__2026-11-27T08:00:00+00:00&x=1", "task_id": "g.save"}
    url = urlsplit(link.get_link(None, ti_key=SimpleNamespace(**names, map_index=map_index)))
    assert url.path == f"pika/{page}"  # relative: a base_url may have a path
    assert parse_qs(url.query) == {**{name: [value] for name, value in names.items()}, "map_index": [str(map_index)]}


def test_no_two_links_are_kept_under_one_key() -> None:
    assert len({link.xcom_key for link in (ClipLink(), RequestLink(), FileLink())}) == 3
