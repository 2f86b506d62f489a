"""What clips will cost, and what one has cost, by the prices that a hook knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_pika.exceptions import InvalidInput, PikaError
from airflow_provider_pika.fal.ids import app_of
from airflow_provider_pika.fal.prices import Cost, Prices, Told, billed, estimate, reused, to_paste, total
from airflow_provider_pika.strict_json import shown
from airflow_provider_pika.task.arguments import input_of, most_of

if TYPE_CHECKING:
    from airflow_provider_pika.hooks.pika import PikaHook


def prices_for(hook: PikaHook, endpoint: str, *, average: bool = False) -> Prices:
    """Return the prices by which a clip is billed. Never raises: where they cannot be read, they are unknown.

    :param average: as of ``PikaHook.prices``.
    """
    try:
        return hook.prices([endpoint], average=average)
    except (Exception, AirflowTaskTimeout) as error:  # the latter is a BaseException; the clip is there
        why = error.message if isinstance(error, PikaError) else type(error).__name__  # it may quote a password
        return Prices(told={endpoint: Told(reason=f"the connection's prices cannot be read ({why.rstrip('.')})")})


def cost_of(hook: PikaHook, endpoint: str, units: float | None, *, is_reused: bool = False) -> Cost:
    """Return what fal billed for a clip. Never raises, as :func:`prices_for`.

    :param units: fal's billable units; None: fal did not say, so nobody is asked for a price.
    :param is_reused: an earlier request has paid for it.
    """
    if is_reused:
        return reused(endpoint, prices_for(hook, endpoint))
    return billed(endpoint, units, Prices() if units is None else prices_for(hook, endpoint))


def inputs_of(inputs: Any, endpoint: str) -> list[dict[str, Any]]:
    """Return what would be sent for each clip, checked as the operators check it.

    :param inputs: a dict, or a list of dicts and prompts; the ``name`` that an item of a batch has is left out.
    :raises InvalidInput: naming the first item that is wrong by its place, from 0.
    """
    app_of(endpoint)
    items = [inputs] if isinstance(inputs, Mapping) else inputs
    if isinstance(items, str | bytes) or not isinstance(items, Sequence) or not len(items):
        raise InvalidInput(
            f"inputs={shown(inputs)[:200]} is not allowed: it takes a dict of the endpoint's inputs, or a list of such "
            "dicts and of prompts with at least one."
        )
    longest = most_of("max_prompt_length")
    checked = []
    for place, item in enumerate(items):
        try:
            checked.append(_input(item, longest))
        except InvalidInput as error:
            if items is not inputs:
                raise
            raise InvalidInput(f"Item {place}: {error.message}") from None
    return checked


def estimate_of(asked: Sequence[Mapping[str, Any]], endpoint: str, prices: Prices) -> dict[str, Any]:
    """Return the estimate of some clips as a JSON object.

    :param asked: what would be sent for each.
    """
    costs = [estimate(endpoint, arguments, prices) for arguments in asked]
    by_price: dict[tuple[Any, ...], list[Cost]] = {}
    for cost in costs:
        if cost.amount is not None:
            by_price.setdefault((cost.source, cost.priced_at, cost.currency), []).append(cost)
    whole = total(costs)
    sums = {key: total(some).as_json() for key, some in by_price.items()}
    return {
        **whole.as_json(),
        "endpoint": endpoint,
        "clips": len(costs),
        "sources": [
            {"source": source, "priced_at": day, "currency": currency, "clips": part["known"], "amount": part["amount"]}
            for (source, day, currency), part in sums.items()
        ],
        "paste": to_paste(endpoint) if whole.unknown else None,
    }


def _input(item: Any, longest: int) -> dict[str, Any]:
    values = {"prompt": item} if isinstance(item, str) else item
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise InvalidInput(f"{shown(item)[:200]} is not allowed: it takes a prompt or a dict of the endpoint's inputs.")
    return input_of({name: value for name, value in values.items() if name != "name"}, longest)
