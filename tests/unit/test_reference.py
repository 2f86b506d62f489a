"""The reference is what docstrings say: each parameter once, with its real default; and the objects that pages show."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseSensorOperator

from airflow_provider_pika.batch.progress import Tally
from airflow_provider_pika.decorators.returned import INPUTS
from airflow_provider_pika.exceptions import PikaError, tree
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.models import BillingEvent, Video
from airflow_provider_pika.fal.prices import CONNECTION, Cost, Price, Prices
from airflow_provider_pika.fal.spend import BOOKS, Report, of_event
from airflow_provider_pika.hooks.costs import estimate_of, inputs_of
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator, read_manifest
from airflow_provider_pika.operators.cancel import PikaCancelOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.saving.metadata import Metadata
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator
from dev.pages import ROOT, blocks, section
from dev.readability import LONGEST_SENTENCE, sentences_of, words_of
from tests.unit.test_public_paths import PUBLIC

DOCS = ROOT / "docs"

KINDS = [
    PikaTextToVideoOperator,
    PikaTextToVideoBatchOperator,
    PikaCancelOperator,
    PikaVideoSensor,
    PikaVideoToObjectStorageOperator,
    PikaBatchToObjectStorageOperator,
    PikaHook,
]

#: Parameters of Airflow's own that the sensor's docstring has, since they mean more here.
AIRFLOWS = {"mode", "timeout", "soft_fail"}

A_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The site's extension that completes docstrings. It is no package."""
    spec = importlib.util.spec_from_file_location("docs_reference", DOCS / "_ext" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documented(kind: Any) -> list[str]:
    return re.findall(r"^:param (\w+):", inspect.getdoc(kind) or "", re.MULTILINE)


def own(kind: Any) -> list[str]:
    return [name for name in inspect.signature(kind.__init__).parameters if name not in ("self", "kwargs")]


@A_KIND
def test_every_parameter_is_documented_once_and_no_other(kind: Any) -> None:
    shown = documented(kind)
    assert sorted(set(shown)) == sorted(shown)
    airflows = AIRFLOWS if kind is PikaVideoSensor else set()
    assert set(shown) == {*own(kind), *airflows}


@A_KIND
def test_every_parameter_stands_with_its_default_and_whether_it_is_a_template(kind: Any, reference: ModuleType) -> None:
    text = "\n".join(reference.with_defaults((inspect.getdoc(kind) or "").splitlines(), kind))
    fields = {name: " ".join(words.split()) for name, words in re.findall(r":param (\w+):((?:.|\n(?!:))*)", text)}
    parameters = inspect.signature(kind.__init__).parameters
    for name in own(kind):
        default = parameters[name].default
        written = json.dumps(default) if isinstance(default, str) else repr(default)
        ends = "" if default is inspect.Parameter.empty else f"Default: ``{written}``."
        template = "Template." if name in getattr(kind, "template_fields", ()) else ""
        assert fields[name].endswith(f"{template} {ends}".strip()), name
        assert ("Template." in fields[name]) == bool(template), name


def test_what_the_sensor_says_of_airflows_own_defaults_is_so() -> None:
    airflows = inspect.signature(BaseSensorOperator.__init__).parameters
    text = " ".join((inspect.getdoc(PikaVideoSensor) or "").split())
    for name in ("mode", "soft_fail"):
        default = airflows[name].default
        written = json.dumps(default) if isinstance(default, str) else repr(default)
        assert re.search(rf":param {name}: [^:]*.*?Default: ``{re.escape(written)}``\.", text), name


@A_KIND
def test_a_docstring_reads_as_a_page_does(kind: Any) -> None:
    paragraphs = re.sub(r"^:\w+ ?\w*:", "\n", inspect.getdoc(kind) or "", flags=re.MULTILINE).replace("``", "`")
    assert [each for each in sentences_of(paragraphs) if words_of(each) > LONGEST_SENTENCE] == []
    assert re.findall(r":param \w+: as ``Pika", inspect.getdoc(kind) or "") == []  # a reader wants the sentence


def test_every_error_says_whether_a_retry_helps(reference: ModuleType) -> None:
    for error in tree(PikaError)[1:]:
        lines = ["What happened."]
        reference.add_facts(None, "exception", error.__name__, error, None, lines)
        assert f"**A retry {'can' if error.retry_helps else 'cannot'} help.** {error.advice}".strip() in lines


def test_every_public_name_is_in_the_reference() -> None:
    pages = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    for module, names in PUBLIC.items():
        if module not in (
            "get_provider_info",
            "cli.definition",
            "plugins.pika",
            "exceptions",
        ):  # Airflow's own; a module that is shown as a whole
            assert [name for name in names.split() if name not in pages] == []
    assert "automodule:: airflow_provider_pika.exceptions" in pages


def test_the_objects_shown_have_the_real_keys() -> None:
    [video] = map(json.loads, blocks((DOCS / "waiting.md").read_text(), "json"))
    saved, metadata = map(json.loads, blocks((DOCS / "saving.md").read_text(), "json"))
    fals = [name for name, field in Video.model_fields.items() if not field.exclude]
    assert list(video) == [*fals, "prompt", "seed", "reused", "cost"]
    for each in (video, saved, metadata):
        assert Cost.from_json(each["cost"]).as_json() == each["cost"]
    assert list(metadata) == [field.alias or name for name, field in Metadata.model_fields.items()]
    assert set(saved) == set(Metadata.model_validate(metadata).in_short())


def test_the_estimate_shown_is_what_the_hook_returns() -> None:
    shown, cost, _ = map(json.loads, blocks((DOCS / "money.md").read_text(), "json"))
    assert Cost.from_json(cost).as_json() == cost
    price = Price("videos", Decimal("0.30"), "USD", CONNECTION, shown["sources"][0]["priced_at"])
    real = estimate_of(inputs_of(["a fox"] * 60, TEXT_TO_VIDEO), TEXT_TO_VIDEO, Prices({TEXT_TO_VIDEO: price}))
    assert real == shown
    assert list(real) == list(shown)


def test_the_spending_shown_is_what_the_hook_returns_and_its_docstring_names_each_key() -> None:
    *_, shown = map(json.loads, blocks((DOCS / "money.md").read_text(), "json"))
    [row] = shown["differing"]["named"]
    fields = {"timestamp": row["at"], "output_units": 5, "cost_total": row["billed"], "tags": {"dag": row["dag"]}}
    event = BillingEvent(request_id=row["request_id"], endpoint_id=row["endpoint"], **fields)
    prices = Prices({TEXT_TO_VIDEO: Price("seconds", Decimal("0.06"), "USD", CONNECTION)})
    real = Report([of_event(event, prices)], BOOKS, "dag", shown["since"], shown["until"]).as_json()
    assert real == shown
    assert json.dumps(real) == json.dumps(shown)
    named = re.findall(r"``(\w+)``", inspect.getdoc(PikaHook.spend) or "")
    assert {*real, *real["total"], *real["differing"]} - {*named} == set()


def test_the_batch_says_how_far_it_has_come_as_its_page_shows_it() -> None:
    [shown] = [text.strip() for text in blocks((DOCS / "batch.md").read_text(), "text")]
    tally = Tally(done=1240, failed=3, in_flight=20, queued=8737, began=0.0, at_first=0)
    assert shown == f"Batch: {tally.in_words(2150.4)}"


def test_a_decorated_function_may_return_the_inputs_that_its_page_names() -> None:
    text = section((DOCS / "inputs.md").read_text(), "A function that writes the prompt")
    [named] = re.findall(r"a dict with any of (.*?)\. If", " ".join(text.split()))
    assert set(re.findall(r"`(\w+)`", named)) == set(INPUTS)


def test_a_manifest_is_read_with_the_parameters_that_are_documented() -> None:
    assert documented(read_manifest) == list(inspect.signature(read_manifest).parameters)
