"""What others are told of a saved file: the Dags that wait for its asset, Airflow's hook lineage, OpenLineage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_pika.strict_json import for_airflow, shown

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseHook, Context

    from airflow_provider_pika.fal.prices import Total
    from airflow_provider_pika.saving.metadata import Metadata
    from airflow_provider_pika.saving.object_store import Place


def emit_asset_events(
    context: Context, outlets: list[Any], metadata: Metadata, uri: str, warn: Callable[..., object]
) -> None:
    """Put the essentials of the file into the asset event of every outlet; an alias becomes the file's own asset.

    What a Dag that is scheduled on the asset reads: ``triggering_asset_events[asset][0].extra["path"]``. An outlet that
    is no asset, a dataset of OpenLineage or a text, has no event. Nothing here costs the file, which is there.

    :param warn: takes a line for the task's log, and its arguments.
    """
    more = {"url": metadata.url, "saved_at": metadata.saved_at}
    _emit_to_all(context, outlets, {**metadata.in_short(), **more}, uri, warn)


def emit_totals(
    context: Context, outlets: list[Any], totals: Mapping[str, Any], uri: str | None, warn: Callable[..., object]
) -> None:
    """Put the totals of a batch's clips into one event of every outlet; an alias becomes the manifest's own asset.

    :param uri: of the manifest; None: there is none, so an alias has no event.
    :param warn: as :func:`emit_asset_events`.
    """
    _emit_to_all(context, outlets, totals, uri, warn)


def _emit_to_all(
    context: Context, outlets: list[Any], extra: Mapping[str, Any], uri: str | None, warn: Callable[..., object]
) -> None:
    for outlet in outlets:
        try:
            _emit(context, outlet, for_airflow(extra), uri)
        except Exception as error:  # a retry would find the file, and meet the same
            warn("There is no asset event with the file for the outlet %s: %s", shown(outlet), error)


def _emit(context: Context, outlet: Any, extra: dict[str, Any], uri: str | None) -> None:
    from airflow.sdk import Asset, AssetAlias
    from airflow.sdk.definitions.asset import AssetRef

    events: Any = context["outlet_events"]
    if isinstance(outlet, AssetAlias):
        if uri:
            events[outlet].add(Asset(uri=uri), extra=extra)
    elif isinstance(outlet, Asset | AssetRef):
        events[outlet].extra.update(extra)


def collect_hook_lineage(hook: BaseHook, metadata: Metadata, uri: str) -> None:
    """Tell Airflow's hook lineage that the file came from the URL; it keeps that only where somebody reads it."""
    from airflow.providers.common.compat.sdk import get_hook_lineage_collector

    collector = get_hook_lineage_collector()
    collector.add_input_asset(context=hook, uri=metadata.url)
    collector.add_output_asset(context=hook, uri=uri)


def openlineage_of(metadata: Metadata, place: Place) -> Any:
    """Return what OpenLineage's provider asks a finished task for: an ``OperatorLineage``.

    The request's id is the run's external query, since that is what fal can be asked about. The run has the cost, too.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset, ExternalQueryRunFacet
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_pika.fal.prices import Cost, total
    from airflow_provider_pika.saving.facets import cost_facets

    costs = [] if metadata.cost is None else [Cost.from_json(metadata.cost)]
    source = urlsplit(metadata.url)
    query = ExternalQueryRunFacet(externalQueryId=metadata.request_id, source=metadata.endpoint or "fal")
    return OperatorLineage(
        inputs=[Dataset(namespace=f"{source.scheme}://{source.netloc}", name=source.path.lstrip("/"))],
        outputs=[_output_of(metadata, place)],
        run_facets={"externalQuery": query, **cost_facets(total(costs))},
    )


def openlineage_of_batch(cost: Total, manifest: Place | None) -> Any:
    """Return the same of a batch's clips: the manifest, which names them all, and what they cost together."""
    from airflow.providers.common.compat.openlineage.facet import OutputDataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_pika.saving.facets import cost_facets

    outputs = [OutputDataset(namespace=manifest.namespace, name=manifest.name)] if manifest else []
    return OperatorLineage(outputs=outputs, run_facets=cost_facets(cost))


def _output_of(metadata: Metadata, place: Place) -> Any:
    from airflow.providers.common.compat.openlineage.facet import (
        DocumentationDatasetFacet,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )

    about: dict[str, Any] = {"documentation": DocumentationDatasetFacet(description=metadata.prompt or "")}
    return OutputDataset(
        namespace=place.namespace,
        name=place.name,
        facets=about if metadata.prompt else {},
        outputFacets={"outputStatistics": OutputStatisticsOutputDatasetFacet(size=metadata.size, fileCount=1)},
    )
