"""Links on a task instance, to the pages that show its clip.

They lead to the pages themselves. FAB's roles Viewer and User may open those, and see no plugin in Airflow's menu.
A link is made of the task instance's own names, so it costs a task nothing, and holds while the task is deferred.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow.providers.common.compat.sdk import BaseOperatorLink, conf

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey


class _PageLink(BaseOperatorLink):
    """A link to one of the pages of a task instance."""

    _page = ""

    @property
    def xcom_key(self) -> str:
        """Return the XCom's key, in which Airflow keeps the link."""
        return f"_link_pika_{self.name.split()[0].lower()}"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the page's URL, relative to Airflow's own; nothing where the pages are off."""
        if not conf.getboolean("pika", "show_clips", fallback=True):
            return ""
        names = {
            "dag_id": ti_key.dag_id,
            "run_id": ti_key.run_id,
            "task_id": ti_key.task_id,
            "map_index": -1 if ti_key.map_index is None else ti_key.map_index,
        }
        return f"pika/{self._page}?{urlencode(names)}"


class ClipLink(_PageLink):
    """The page of the clip, which plays it."""

    name = "Clip"
    _page = "clip"


class RequestLink(_PageLink):
    """The request in fal's dashboard, by a page that knows its ID when it is clicked."""

    name = "Request at fal"
    _page = "request"


class FileLink(_PageLink):
    """The clip's file."""

    name = "File"
    _page = "video"


class ReviewLink(_PageLink):
    """The page on which a person decides about clips."""

    name = "Review"
    _page = "review"


#: The links of a task that has a request, of one that saves a clip, and of one that is about many clips.
OF_A_REQUEST, OF_A_FILE, OF_A_BATCH = (ClipLink(), RequestLink()), (ClipLink(), FileLink()), (ClipLink(),)

#: The link of a review.
OF_A_REVIEW = (ReviewLink(),)
