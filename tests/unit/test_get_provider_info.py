from __future__ import annotations

import ast
import json
from importlib import import_module, metadata
from pathlib import Path

import airflow
import jsonschema
import pytest

from airflow_provider_pika import get_provider_info as module
from airflow_provider_pika.get_provider_info import get_provider_info
from airflow_provider_pika.hooks.pika import PikaHook

SHIPPED = Path(airflow.__file__).parent


@pytest.mark.parametrize("schema", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_the_provider_info_is_valid_in_the_schemas_that_ship_with_airflow(schema: str) -> None:
    properties = json.loads((SHIPPED / schema).read_text())
    info = get_provider_info()
    if schema == "provider.yaml.schema.json":  # only this one knows the connection form; it asks for files we have not
        properties, info = properties["properties"]["connection-types"], info["connection-types"]
    jsonschema.validate(info, properties)


def test_the_package_name_is_the_distributions_own() -> None:
    # a mismatch breaks the loading of every provider (airflow-facts.md, section 1)
    assert metadata.metadata("airflow-provider-pika")["Name"] == get_provider_info()["package-name"]


def test_the_provider_info_imports_nothing_but_typing() -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {"__future__", "typing"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]


def test_every_module_that_is_named_exists() -> None:
    info = get_provider_info()
    for key in ("operators", "sensors", "hooks", "triggers"):
        for entry in info[key]:
            for name in entry["python-modules"]:
                import_module(name)
    for entry in info["transfers"]:
        import_module(entry["python-module"])
    for entry in info["task-decorators"]:
        module_name, _, function = entry["class-name"].rpartition(".")
        assert callable(getattr(import_module(module_name), function))


def test_airflow_3_1_gets_the_same_form_from_the_hook() -> None:
    # 3.1 reads only the hook's methods, 3.2 and newer only the provider info
    [connection] = get_provider_info()["connection-types"]
    behaviour = PikaHook.get_ui_field_behaviour()
    assert behaviour["relabeling"] == connection["ui-field-behaviour"]["relabeling"]
    assert behaviour["hidden_fields"] == connection["ui-field-behaviour"]["hidden-fields"]
    assert connection["connection-type"] == PikaHook.conn_type
    assert connection["hook-name"] == PikaHook.hook_name


@pytest.mark.parametrize(("kind", "base"), [("operators", "BaseOperator"), ("triggers", "PikaTrigger")])
def test_every_operator_and_trigger_is_listed(kind: str, base: str) -> None:
    folder = Path(module.__file__).parent / kind
    bases = (f"{base}):", "HITLOperator):")
    defining = {path for path in folder.glob("*.py") if any(each in path.read_text() for each in bases)}
    [listed] = get_provider_info()[kind]
    assert set(listed["python-modules"]) == {f"airflow_provider_pika.{kind}.{path.stem}" for path in defining}
