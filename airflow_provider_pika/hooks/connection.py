"""What stands in an Airflow connection of type ``pika``: each of its fields, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.hooks import CONNECTION_TYPE, LONGEST_CALL

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_pika.fal.account import Account
    from airflow_provider_pika.fal.prices import Price


def checked(connection: Connection) -> Connection:
    """Return the connection, if it is one of ours: the password of any other would be sent to fal as a key.

    One without a type passes: secrets backends often hold none.

    :raises InvalidInput: it has another type.
    """
    if connection.conn_type and connection.conn_type != CONNECTION_TYPE:
        raise errors.InvalidInput(
            f"Connection {connection.conn_id!r} has the type {connection.conn_type!r}: its password is not for fal. "
            f"pika_conn_id takes a connection of type {CONNECTION_TYPE!r}."
        )
    return connection


def account_of(connection: Connection | None, extra: Mapping[str, Any]) -> Account:
    """Say where the queue is and who asks. Blocks: a saved login may have to be renewed over the network.

    :raises MissingKey: there is no key anywhere.
    :raises InvalidInput: the address, the key, the timeout or another field cannot be one.
    """
    from airflow_provider_pika.fal.account import QUEUE_URL, Account

    return Account(
        authorization=_authorization(_key_of(connection) if connection else ""),
        queue_url=(queue_url_of(connection) if connection else "") or QUEUE_URL,
        timeout=_timeout(extra.get("http_timeout")),
        tags=_switch("tags", extra.get("tags")),
    )


def _key_of(connection: Connection) -> str:
    """Return the key: the password, or the login and the password as ``id:secret``; an empty text: there is none.

    ``pika://key-id:key-secret@`` has the two halves of a key in two fields. A password with a colon is a whole key.

    :raises InvalidInput: there is only half a key; the environment's may be another account's.
    """
    login, password = (connection.login or "").strip(), (connection.password or "").strip()
    if ":" in password or not login:
        return password
    if password:
        return f"{login}:{password}"
    if ":" not in login.strip(":"):
        raise errors.InvalidInput(
            f"Connection {connection.conn_id!r} has a login and no password. Put the whole key, id:secret, into the "
            "password; or the key's id into the login, and its secret into the password."
        )
    return login


def _authorization(key: str) -> str:
    scheme, token = "Key", key
    if not token:
        from fal_client.auth import MissingCredentialsError, fetch_auth_credentials  # 25 ms, in each task's process

        try:
            found = fetch_auth_credentials()
        except MissingCredentialsError:
            raise errors.MissingKey("There is no fal key.") from None
        scheme, token = found.scheme, found.token.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise errors.InvalidInput("The fal key is not allowed: it has blanks, line breaks or letters that no key has.")
    return f"{scheme} {token}"


def queue_url_of(connection: Connection) -> str:
    """Return the queue's address without a slash at its end; an empty text: fal's own.

    :raises InvalidInput: the connection's host cannot be one.
    """
    import httpx

    host = (connection.host or "").strip()
    if not host:
        return ""
    url = host if "://" in host else f"{connection.schema or 'https'}://{host}"
    try:
        parts = urlsplit(url)
        parts.netloc.encode("idna")
        httpx.URL(url)  # what either client sends to; httpx 0.28 takes less than urllib does
        netloc = parts.netloc if parts.port or not connection.port else f"{parts.netloc}:{connection.port}"
    except (ValueError, httpx.InvalidURL):
        parts, netloc = urlsplit(""), ""
    # a user or a password in the URL would be a second place for the key
    unwanted = "@" in netloc or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or unwanted:
        raise errors.InvalidInput(
            f"The queue URL of connection {connection.conn_id!r} is not allowed: it takes "
            "http(s)://host[:port][/path], and the key goes into the password."
        )
    return f"{parts.scheme}://{netloc}{parts.path}".rstrip("/")


def media_hosts_of(extra: Mapping[str, Any]) -> list[str]:
    """Return the hosts besides fal's and the queue's that videos may be fetched from: a list, or a text with commas.

    :raises InvalidInput: it is neither.
    """
    value = extra.get("media_hosts") or []
    hosts = value.split(",") if isinstance(value, str) else value
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise errors.InvalidInput(f"media_hosts={value!r} is not allowed: it takes hosts, with commas between them.")
    return [host.strip() for host in hosts if host.strip()]


def _switch(name: str, value: Any) -> bool:
    """Return a switch that is on where nothing is said; forms and command lines write texts.

    :raises InvalidInput: it is neither true nor false.
    """
    read = {"": True, "true": True, "false": False}.get(str("" if value is None else value).strip().lower())
    if read is None:
        raise errors.InvalidInput(f"{name}={value!r} is not allowed: it takes true or false.")
    return read


def prices_of(extra: Mapping[str, Any]) -> dict[str, Price]:
    """Return the connection's own prices: negotiated ones, or of a model that fal names no price for.

    :raises InvalidInput: naming the field, its value and what is allowed.
    """
    from airflow_provider_pika.fal.own_prices import own_prices_of

    return own_prices_of(extra.get("prices"))


def _timeout(value: Any) -> float:
    try:
        seconds = 60.0 if value in (None, "") else float(value)
    except (TypeError, ValueError):
        seconds = 0
    if not 1 <= seconds <= LONGEST_CALL:
        raise errors.InvalidInput(f"http_timeout={value!r} is not allowed: it takes seconds, 1 to {LONGEST_CALL:.0f}.")
    return seconds
