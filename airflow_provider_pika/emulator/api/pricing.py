"""fal's prices, and its estimates (fal-protocol.md 6.2, N12 and N13)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json
from starlette.responses import JSONResponse, Response

from airflow_provider_pika.emulator.api.gate import Gate, Tally
from airflow_provider_pika.emulator.api.queries import MOST_VALUES, Cursor, Some
from airflow_provider_pika.emulator.api.wire import Keys, number
from airflow_provider_pika.emulator.engine import errors
from airflow_provider_pika.emulator.engine.books import Books, Selection
from airflow_provider_pika.emulator.engine.prices import CURRENCY, NANO, PLACEHOLDERS, Prices, UnitPrice
from airflow_provider_pika.emulator.faults.registry import FaultRegistry

#: Calls or units at most. fal's own limit is not established.
MOST = 10**9


class PricesQuery(BaseModel):
    """The query of the prices; a wrong one is a 422."""

    endpoint_id: Some
    cursor: Cursor = None


class Calls(BaseModel):
    """How many calls of an endpoint to estimate."""

    model_config = ConfigDict(strict=True)

    call_quantity: int = Field(ge=1, le=MOST)


class Amount(BaseModel):
    """How many units of an endpoint to estimate."""

    model_config = ConfigDict(strict=True)

    unit_quantity: float = Field(gt=0, le=MOST)


class HistoricalEstimate(BaseModel):
    """An estimate by what calls have cost so far."""

    estimate_type: Literal["historical_api_price"]
    endpoints: dict[str, Calls] = Field(min_length=1, max_length=MOST_VALUES)


class UnitEstimate(BaseModel):
    """An estimate by the price of a unit."""

    estimate_type: Literal["unit_price"]
    endpoints: dict[str, Amount] = Field(min_length=1, max_length=MOST_VALUES)


#: The body of an estimate; a wrong one is a 422.
ESTIMATE: TypeAdapter[HistoricalEstimate | UnitEstimate] = TypeAdapter(
    Annotated[HistoricalEstimate | UnitEstimate, Field(discriminator="estimate_type")]
)


@dataclass(frozen=True)
class PricingApi:
    """The calls below ``/v1/models/pricing``. They need a key."""

    prices: Prices
    books: Books
    faults: FaultRegistry
    gate: Gate
    tally: Tally
    keys: Keys

    def router(self) -> APIRouter:
        """Return the routes of prices and estimates."""
        router = APIRouter(prefix="/v1/models/pricing")
        router.add_api_route("", self.list_prices, methods=["GET"])
        router.add_api_route("/estimate", self.estimate, methods=["POST"])
        return router

    async def list_prices(self, request: Request, query: Annotated[PricesQuery, Query()]) -> Response:
        """Return the price of a unit of each endpoint, placeholders among them. What fal does not have is left out."""

        def reply() -> Response:
            told = {endpoint: self._told(endpoint) for endpoint in query.endpoint_id}
            prices = [_price(endpoint, price) for endpoint, price in told.items() if price is not None]
            return JSONResponse({"prices": prices, "next_cursor": None, "has_more": False})

        return await self._answer(request, reply)

    async def estimate(self, request: Request) -> Response:
        """Return what calls or units will cost; null if one of the endpoints has no history, or is not fal's."""
        body = await request.body()

        def reply() -> Response:
            try:  # FastAPI's own reading of a body answers NaN with a 500
                asked = ESTIMATE.validate_python(from_json(body, allow_inf_nan=False))
            except ValidationError as error:
                return JSONResponse({"detail": error.errors(include_url=False, include_input=False)}, 422)
            except ValueError:
                return JSONResponse({"detail": [errors.detail(["body"], "JSON decode error", "json_invalid")]}, 422)
            return JSONResponse(self._estimate(asked))

        return await self._answer(request, reply)

    def _estimate(self, asked: HistoricalEstimate | UnitEstimate) -> dict[str, Any]:
        if isinstance(asked, HistoricalEstimate):
            costs = [self._of_calls(name, calls.call_quantity) for name, calls in asked.endpoints.items()]
        else:
            costs = [self._of_units(name, amount.unit_quantity) for name, amount in asked.endpoints.items()]
        known = [cost for cost in costs if cost is not None]
        total = number(sum(known, Decimal(0)).quantize(NANO)) if len(known) == len(costs) else None
        return {"estimate_type": asked.estimate_type, "total_cost": total, "currency": CURRENCY}

    def _told(self, endpoint: str) -> UnitPrice | None:
        """Return the price that is told, which a fault may make a placeholder. What is charged stays the same."""
        price = self.prices.of(endpoint)
        fault = None if price is None else self.faults.for_price(endpoint)
        return price if fault is None else PLACEHOLDERS[fault.unit]

    def _of_calls(self, endpoint: str, calls: int) -> Decimal | None:
        """Return what so many calls cost on average so far. What fal's own average is made of is not established."""
        count, total = self.books.total(Selection(endpoints=[endpoint]))
        return total * calls / count if count else None

    def _of_units(self, endpoint: str, units: float) -> Decimal | None:
        price = self._told(endpoint)
        return None if price is None else price.amount * Decimal(repr(units))

    async def _answer(self, request: Request, reply: Callable[[], Response]) -> Response:
        self.tally.add("pricing")

        async def process() -> Response:
            return self.keys.refuse_platform(request) or reply()

        return await self.gate.exchange("pricing", [], process)


def _price(endpoint: str, price: UnitPrice) -> dict[str, Any]:
    return {
        "endpoint_id": endpoint,
        "unit_price": number(price.amount),
        "unit": price.unit,
        "currency": CURRENCY,
    }
