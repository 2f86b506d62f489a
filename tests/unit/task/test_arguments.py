from __future__ import annotations

import inspect

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_pika.fal.inputs import SubmitControls, TextToVideoInput
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator


@pytest.mark.parametrize(
    ("operator", "declared"),
    [
        (PikaTextToVideoOperator, TextToVideoInput),
        (PikaTextToVideoOperator, SubmitControls),
        (PikaTextToVideoBatchOperator, SubmitControls),
    ],
)
def test_an_operators_parameters_have_the_names_and_defaults_of_the_declaration(
    operator: type[BaseOperator], declared: type[TextToVideoInput | SubmitControls]
) -> None:
    parameters = inspect.signature(operator).parameters
    asked = inspect.signature(declared).parameters
    assert {name: parameters[name].default for name in asked} == {name: each.default for name, each in asked.items()}
