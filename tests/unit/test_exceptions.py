from __future__ import annotations

import json
import pickle

import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.exceptions import PikaError

EVERY = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", EVERY)
def test_every_error_pickles_and_keeps_all_it_knows(kind: type[PikaError]) -> None:
    error = kind("boom", request_id="r-1", error_type="t", status_code=500, retry_after=2.5)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


@pytest.mark.parametrize("kind", EVERY)
def test_every_error_survives_a_triggers_event(kind: type[PikaError]) -> None:
    error = kind("boom", request_id="r-1")
    copy = PikaError.from_json(json.loads(json.dumps(error.as_json())))
    assert (type(copy), str(copy)) == (kind, str(error))


@pytest.mark.parametrize("kind", [kind for kind in EVERY if not issubclass(kind, errors.TryLater)])
def test_every_error_that_a_person_must_act_on_says_what_to_do(kind: type[PikaError]) -> None:
    assert kind is PikaError or kind.advice


def test_an_error_of_no_known_class_is_not_made_up() -> None:
    with pytest.raises(KeyError):
        PikaError.from_json({"error": "SystemExit", "message": "x"})
