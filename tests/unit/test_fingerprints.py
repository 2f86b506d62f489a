"""A record's fingerprint of an input stays what it was: another one after an upgrade would pay for the clip again."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_pika.batch.inputs import batch_inputs_of
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.record import fingerprint
from airflow_provider_pika.task.arguments import arguments_of

PLAIN: dict[str, Any] = {
    "prompt": "a fox",
    "resolution": "720p",
    "duration": 5,
    "negative_prompt": "ugly, bad, terrible",
    "seed": None,
    "extra_arguments": None,
}
EXTRA = {"scale": 5.0, "n": 5, "on": True, "none": None, "ratio": ("9:16", "16:9"), "by": {10: "a", 2: "b"}}

#: As version 0.1.0 wrote them before the inputs were read more strictly.
KEPT = [
    ({}, "b10b74c9f04b38dcc609f4d2918cfe5392ef846529abe4d3fa88d685272631a2"),
    ({"duration": "5", "seed": ""}, "b10b74c9f04b38dcc609f4d2918cfe5392ef846529abe4d3fa88d685272631a2"),
    ({"duration": 5.0, "seed": "None"}, "b10b74c9f04b38dcc609f4d2918cfe5392ef846529abe4d3fa88d685272631a2"),
    (
        {"duration": " 10 ", "seed": "7", "resolution": "480p", "prompt": " é "},
        "8c2b889012075598197163383a2ce958ef1d2c07c91b53d8a461cf3958893980",
    ),
    ({"extra_arguments": EXTRA}, "10a28fdb34e61b8490c0cdfdcd51296479fac11eedc86e75c0a1ae88353834de"),
]


@pytest.mark.parametrize(("given", "kept"), KEPT, ids=lambda value: str(value)[:40])
def test_the_fingerprint_of_an_input_is_what_earlier_versions_wrote(given: dict[str, Any], kept: str) -> None:
    assert fingerprint(TEXT_TO_VIDEO, arguments_of({**PLAIN, **given})) == kept
    [in_a_batch] = batch_inputs_of([{**PLAIN, **given}], None).arguments
    assert fingerprint(TEXT_TO_VIDEO, in_a_batch) == kept
