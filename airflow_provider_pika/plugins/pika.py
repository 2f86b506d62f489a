"""Airflow's plugin: **Clips** in the navigation, and a tab of each task instance.

Every process of Airflow imports this module, and a task's process, too. So the pages are imported with their first
request, and by the API server alone.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin, conf

#: Where the pages are. Airflow has them on its own origin, so they have its cookie.
URL_PREFIX = "/pika"

#: The icon, for a light and for a dark page.
_ICONS = {"icon": "pika/static/clips.svg", "icon_dark_mode": "pika/static/clips-dark.svg"}

#: What Airflow fills in. What a task instance lacks stays as it is, an index of a task that is not mapped say.
_TASK_INSTANCE = "dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}"


class LazyPages:
    """The application, imported when somebody asks for a page."""

    def __init__(self) -> None:
        self._app: Any = None
        self._lock = Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request, as ASGI has it."""
        await self._pages()(scope, receive, send)

    def _pages(self) -> Any:
        with self._lock:
            if self._app is None:
                from airflow_provider_pika.plugins.pages.app import make_app

                self._app = make_app()
        return self._app


def _fastapi_apps() -> list[dict[str, Any]]:
    return [{"name": "pika", "app": LazyPages(), "url_prefix": URL_PREFIX}]


def _external_views() -> list[dict[str, Any]]:
    """Return the views. One destination that Airflow does not know hides the whole plugin (3.1.8)."""
    return [
        {
            "name": "Clips",
            "href": "pika/clips",
            "destination": "nav",
            "category": "browse",
            "url_route": "pika-clips",
            **_ICONS,
        },
        {
            "name": "Clip",
            "href": f"pika/clip?{_TASK_INSTANCE}",
            "destination": "task_instance",
            "url_route": "pika-clip",
            **_ICONS,
        },
    ]


#: Whether the pages are there: ``[pika] show_clips``.
_SHOWN = conf.getboolean("pika", "show_clips", fallback=True)


class PikaPlugin(AirflowPlugin):
    """What Airflow finds by the package's entry point."""

    name = "pika"
    fastapi_apps = _fastapi_apps() if _SHOWN else []
    external_views = _external_views() if _SHOWN else []
