from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from airflow_provider_pika.get_provider_info import get_provider_info
from airflow_provider_pika.plugins.pages.answers import _STATIC
from airflow_provider_pika.plugins.pika import PikaPlugin

ROOT = Path(__file__).parents[3]


def run(code: str, environment: dict[str, str], lines: int = 1) -> list[str]:
    """Run code in a process of its own, and return the last lines that it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-lines:]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a process of Airflow's needs."""
    return {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}


def test_every_process_of_airflow_pays_for_a_handful_of_modules(environment: dict[str, str]) -> None:
    code = (
        "import sys, airflow.plugins_manager, airflow_provider_pika\n"
        "before = set(sys.modules)\n"
        "import airflow_provider_pika.plugins.pika\n"
        "new = set(sys.modules) - before\n"
        "print(len(new), sorted(name for name in new if name.startswith(('fastapi', 'jinja2', 'sqlalchemy'))))"
    )
    [told] = run(code, environment)
    count, heavy = told.split(" ", 1)
    assert int(count) < 10
    assert heavy == "[]"


#: How the setting may be, and whether there is anything to see then. None: it is not set.
SETTINGS = {None: True, "True": True, "False": False, "0": False}


def test_one_setting_takes_the_pages_and_the_links_away(environment: dict[str, str]) -> None:
    code = (
        "import os, airflow.plugins_manager  # once: that takes seconds of CPU\n"
        f"for setting in {list(SETTINGS)}:\n"
        "    if os.fork() == 0:\n"
        "        if setting: os.environ['AIRFLOW__PIKA__SHOW_CLIPS'] = setting\n"
        "        from airflow_provider_pika.plugins.pika import PikaPlugin as plugin\n"
        "        from airflow_provider_pika.links.pika import ClipLink\n"
        "        from types import SimpleNamespace as ti\n"
        "        link = ClipLink().get_link(None, ti_key=ti(dag_id='d', run_id='r', task_id='t', map_index=-1))\n"
        "        print(bool(plugin.fastapi_apps), bool(plugin.external_views), bool(link), flush=True)\n"
        "        os._exit(0)\n"
        "    assert os.wait()[1] == 0"
    )
    assert run(code, environment, len(SETTINGS)) == [" ".join([str(there)] * 3) for there in SETTINGS.values()]


def test_the_views_are_where_every_airflow_knows_a_place() -> None:
    # one destination that 3.1 does not know hides the whole plugin there
    assert [view["destination"] for view in PikaPlugin.external_views] == ["nav", "task_instance"]
    for view in PikaPlugin.external_views:
        assert not view["href"].startswith("/")  # else a base_url with a path is left out


def test_the_icons_of_the_views_are_served() -> None:
    named = {view[name] for view in PikaPlugin.external_views for name in ("icon", "icon_dark_mode")}
    assert {name.removeprefix("pika/static/") for name in named} <= set(_STATIC)


def test_airflow_finds_the_plugin_by_the_entry_point_and_by_the_provider_info() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [target] = project["entry-points"]["airflow.plugins"].values()
    [described] = get_provider_info()["plugins"]
    assert target.replace(":", ".") == described["plugin-class"] == f"{PikaPlugin.__module__}.{PikaPlugin.__name__}"
    assert described["name"] == PikaPlugin.name


def test_no_page_loads_anything_from_elsewhere_or_has_script_or_style_in_it() -> None:
    folder = ROOT / "airflow_provider_pika" / "plugins" / "pages"
    for path in [*(folder / "templates").iterdir(), *(folder / "static").iterdir()]:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path
        assert "https://" not in text, path
        if path.suffix == ".html":
            assert not re.search(r"<style|style=|\son\w+=|\|\s*safe|<script>", text), path
            assert not re.search(r"""(?:href|src|action)=["']/""", text), path  # a base_url may have a path
