"""Who may see a clip: whoever may read its Dag, and the XComs of that Dag, by Airflow's own rules.

Airflow's list of readable Dags says nothing about their XComs, so both are asked, for a list and for every byte.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.models.dag import DagModel


class Access:
    """What one user may see, asked once for each Dag and request."""

    def __init__(self, user: Any) -> None:
        self._user = user
        self._known: dict[str, bool] = {}

    def readable_dags(self) -> set[str]:
        """Return the Dags that Airflow lists for the user; of these, the XComs may still be closed."""
        return set(get_auth_manager().get_authorized_dag_ids(user=self._user, method="GET"))

    def may_see(self, dag_id: str) -> bool:
        """Return whether the user may read a Dag and its XComs."""
        if dag_id not in self._known:
            details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
            self._known[dag_id] = all(
                get_auth_manager().is_authorized_dag(
                    method="GET", access_entity=entity, details=details, user=self._user
                )
                for entity in (None, DagAccessEntity.XCOM)
            )
        return self._known[dag_id]

    def may_answer(self, dag_id: str, assigned: Collection[str]) -> bool:
        """Return whether the user may answer what a task of a Dag asks, by the rules of Airflow's own API.

        :param assigned: the IDs of the users whom it asks; empty: whoever may answer.
        """
        details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
        asked = {"access_entity": DagAccessEntity.HITL_DETAIL, "details": details, "user": self._user}
        if not get_auth_manager().is_authorized_dag(method="PUT", **asked):
            return False
        return not assigned or get_auth_manager().is_authorized_hitl_task(assigned_users=set(assigned), user=self._user)

    @property
    def user_id(self) -> str:
        """The user's ID, as Airflow notes it with an answer."""
        return str(self._user.get_id())

    def closed(self, dag_ids: Iterable[str]) -> set[str]:
        """Return those of some Dags that the user may not see."""
        return {dag_id for dag_id in set(dag_ids) if not self.may_see(dag_id)}
