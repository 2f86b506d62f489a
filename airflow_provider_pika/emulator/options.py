"""The options of the command line, and which values make sense."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from airflow_provider_pika.emulator.engine.endpoints import ENDPOINTS
from airflow_provider_pika.emulator.engine.generation import Pace
from airflow_provider_pika.emulator.engine.prices import UNITS, UnitPrice
from airflow_provider_pika.emulator.http.hosts import is_host, normal

#: The port without ``--port``.
DEFAULT_PORT = 8188

#: Runners at most. Each runner that renders has a thread; one that does not costs next to nothing.
MOST_RENDERERS, MOST_RUNNERS = 64, 10_000


#: Seconds that fal stores a request's payloads, unless the account sets another time (fal-protocol.md, 3).
PAYLOAD_TTL = 30 * 24 * 3600.0

#: The help of ``--allow-host``.
ALLOW_HOST = "a name that clients use for it, such as a service's in Docker Compose (repeatable)"


#: The help of ``--admin-key``.
ADMIN_KEY = "a key to accept that may read billing events, usage and credits (repeatable); without --key, all may"

#: The help of ``--price``.
PRICE = "the account's own price of an endpoint, such as fal-ai/pika/v2.5/text-to-video=videos:0.30 (repeatable)"

#: A price of a unit, in whole nano-dollars.
_PRICE = re.compile(r"([^=]+)=([^:]+):([0-9]{1,6}(?:\.[0-9]{1,9})?)")


@dataclass(frozen=True)
class Options:
    """How to run. Ports of 0 are picked by the system; times are in seconds."""

    host: str
    port: int
    run_port: int
    runners: int
    pace: Pace
    keys: tuple[str, ...]
    tls: bool
    data: Path
    result_ttl: float
    payload_ttl: float
    history_lag: float
    books_lag: float
    render: bool = True
    allowed_hosts: tuple[str, ...] = ()
    webhooks_anywhere: bool = False
    admin_keys: tuple[str, ...] = ()
    prices: dict[str, UnitPrice] = field(default_factory=dict)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Return the options. A wrong one is one line on stderr and exit code 2."""
    parser = _parser()
    given = parser.parse_args(arguments)
    run_port = given.run_port
    if run_port is None:
        run_port = given.port + 1 if given.port else 0
    if run_port > 65535:
        parser.error(f"port {given.port} leaves none for the run host, which takes the next: name one with --run-port")
    if given.render == "on" and given.runners > MOST_RENDERERS:
        parser.error(f"{given.runners} runners cannot render: use 1 to {MOST_RENDERERS}, or --render off")
    return Options(
        host=given.host,
        port=given.port,
        run_port=run_port,
        runners=given.runners,
        pace=given.generation_time,
        keys=tuple(given.key),
        tls=given.tls,
        data=given.data.absolute(),
        result_ttl=given.result_ttl,
        payload_ttl=given.payload_ttl,
        history_lag=given.history_lag,
        books_lag=given.books_lag,
        render=given.render == "on",
        allowed_hosts=tuple(given.allow_host),
        webhooks_anywhere=given.webhooks_anywhere,
        admin_keys=tuple(given.admin_key),
        prices=dict(given.price),
    )


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """Leave out the usage, which would bury what is wrong."""
        self.exit(2, f"fal emulator: {message} (see --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(
        prog="python -m airflow_provider_pika.emulator",
        description="A local stand-in for fal's queue that renders real MP4 files.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_network(parser.add_argument_group("where it listens, and to whom"))
    _add_behaviour(parser.add_argument_group("how it behaves"))
    return parser


def _add_network(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=_port, default=DEFAULT_PORT, help="the queue's port; 0 picks a free one")
    add("--run-port", type=_port, help="the synchronous run host's port; the queue's plus one unless given")
    add("--allow-host", type=_host, action="append", default=[], metavar="NAME", help=ALLOW_HOST)
    add("--key", type=_key, action="append", default=[], help="a key to accept (repeatable); without, any will do")
    add("--admin-key", type=_key, action="append", default=[], help=ADMIN_KEY)
    add("--tls", action="store_true", help="serve https, for fal's host names too, with a CA in the data folder")
    add("--webhooks-anywhere", action="store_true", help="send webhooks to other machines, too; else to this one alone")


def _add_behaviour(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--data", type=_folder, default=Path(".fal-emulator"), help="folder for state and files")
    add("--runners", type=_count, default=2, help="how many requests run at once")
    add("--generation-time", type=_pace, default="3-6", help="seconds a generation takes: 3, or a range such as 2-6")
    add("--render", choices=("on", "off"), default="on", help="off: one small clip for every request (load tests)")
    add("--result-ttl", type=_seconds, default=3600.0, help="seconds that the queue keeps a result")
    add("--payload-ttl", type=_seconds, default=PAYLOAD_TTL, help="seconds that stored inputs and results are kept")
    add("--history-lag", type=_seconds, default=0.0, help="seconds until a started request is in the request history")
    add("--books-lag", type=_seconds, default=0.0, help="seconds until a charge is in the billing events")
    add("--price", type=_price, action="append", default=[], metavar="ENDPOINT=UNIT:USD", help=PRICE)


def _port(text: str) -> int:
    if text.isdecimal() and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port: use 0 to 65535")


def _folder(text: str) -> Path:
    if text.strip():
        return Path(text)
    raise argparse.ArgumentTypeError("an empty name is no folder: name one, or leave --data out")


def _count(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= MOST_RUNNERS:
        return int(text)
    hint = f"use 1 to {MOST_RENDERERS}, or with --render off up to {MOST_RUNNERS}"
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of runners: {hint}")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if 0 <= seconds < float("inf"):
        return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds: use 0 or more")


def _pace(text: str) -> Pace:
    low, _, high = text.partition("-")
    try:
        pace = Pace(_seconds(low), _seconds(high or low))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: use seconds, 3, or a range such as 2-6") from None
    if pace.shortest <= pace.longest:
        return pace
    raise argparse.ArgumentTypeError(f"{text!r} runs backwards: use the shorter time first, such as 2-6")


def _price(text: str) -> tuple[str, UnitPrice]:
    match = _PRICE.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a price: use ENDPOINT=UNIT:USD, with 6 and 9 digits at most")
    endpoint, unit, amount = match.groups()
    if endpoint not in ENDPOINTS:
        raise argparse.ArgumentTypeError(f"{endpoint!r} is not an endpoint: use one of {', '.join(ENDPOINTS)}")
    if unit not in UNITS:
        raise argparse.ArgumentTypeError(f"{unit!r} is not a unit: use {' or '.join(UNITS)}")
    return endpoint, UnitPrice(unit, Decimal(amount))


def _host(text: str) -> str:
    if is_host(text.strip()):
        return normal(text.strip())
    raise argparse.ArgumentTypeError(f"{text!r} is not a host: use a name or an address, without scheme and port")


def _key(text: str) -> str:
    if text.strip():
        return text.strip()
    raise argparse.ArgumentTypeError("an empty key would be refused by every call: leave --key out to accept any")
