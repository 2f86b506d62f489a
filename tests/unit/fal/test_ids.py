from __future__ import annotations

import pytest
from fal_client.client import AppId
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal.ids import app_of, check_request_id, is_request_id

PARTS = st.one_of(
    st.sampled_from(["fal-ai", "pika", "v2.5", "text-to-video", "workflows", "comfy", "123-abc"]),
    st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]*\Z"),
)


def as_fal_client_has_it(endpoint: str) -> str | None:
    try:
        app = AppId.from_endpoint_id(endpoint)
    except IndexError:  # it trips over a namespace without an app
        return None
    return "/".join(part for part in (app.namespace, app.owner, app.alias) if part)


@given(st.lists(PARTS, min_size=2, max_size=6).map("/".join))
@example("fal-ai/pika/v2.5/text-to-video")
@example("workflows/fal-ai/pika")
@example("comfy/fal-ai/pika/v1")
@example("workflows/fal-ai")
def test_an_endpoints_app_is_what_fal_client_takes_it_for(endpoint: str) -> None:
    expected = as_fal_client_has_it(endpoint)
    if expected is None:
        with pytest.raises(InvalidInput):
            app_of(endpoint)
    else:
        assert app_of(endpoint) == expected


@pytest.mark.parametrize(
    "endpoint",
    [None, "", "pika", "123-abc", "fal-ai/", "/pika", "fal-ai//pika", "fal-ai/../x", "fal-ai/pika?x", "a/b\n"],
)
def test_what_cannot_be_an_endpoint_is_refused_by_name(endpoint: object) -> None:
    with pytest.raises(InvalidInput, match=r"^endpoint=.* it takes an id such as 'fal-ai/pika"):
        app_of(endpoint)


@pytest.mark.parametrize("request_id", [None, "", "None", 7, "a/b", "..", "a b", "ä", "a\n"])
def test_what_cannot_be_a_request_id_is_refused_by_name(request_id: object) -> None:
    assert not is_request_id(request_id)
    with pytest.raises(InvalidInput, match=r"^request_id=.* it takes the id that the submit returned"):
        check_request_id(request_id)


@pytest.mark.parametrize("request_id", ["019e1951-c778-7120-9c82-16efcf40ec82", "r_1"])
def test_a_request_id_passes(request_id: str) -> None:
    assert is_request_id(request_id)
    check_request_id(request_id)
