"""From the options to a running server, and every way in which that fails before it listens."""

from __future__ import annotations

import contextlib
import errno
import socket
import sqlite3
from collections.abc import Sequence

from airflow_provider_pika.emulator import options as command_line
from airflow_provider_pika.emulator.api.wire import Keys
from airflow_provider_pika.emulator.app import create_app
from airflow_provider_pika.emulator.data_folder import Database, DataFolderBusyError
from airflow_provider_pika.emulator.http.hosts import CERTIFIED_OF_FAL
from airflow_provider_pika.emulator.http.server import create_server, listen
from airflow_provider_pika.emulator.http.tls import ServerCertificate, UncertifiableNameError
from airflow_provider_pika.emulator.options import Options

#: Where a server that listens on every address is called on this machine.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 (nothing listens because of this)


class UsageError(Exception):
    """Something that the user can put right; its text says how."""


def run(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal comes. Raises `UsageError` before anything is served."""
    options = command_line.parse(arguments)
    with contextlib.ExitStack() as stack:
        queue = stack.enter_context(_listen(options.host, options.port, "--port"))
        run_host = stack.enter_context(_listen(options.host, options.run_port, "--run-port"))
        database = _open(options)
        stack.callback(database.close)
        try:
            hosts = [options.host, *options.allowed_hosts, *CERTIFIED_OF_FAL]
            certificate = ServerCertificate.prepare(options.data, hosts) if options.tls else None
            app = create_app(options, database, run_host.getsockname()[1])
        except UncertifiableNameError as error:
            raise UsageError(str(error)) from None
        except (OSError, ValueError) as error:
            raise UsageError(
                f"cannot use the keys in {options.data} ({error}): name another folder with --data"
            ) from None

        def announce() -> None:
            print(banner(options, queue, run_host, certificate), flush=True)

        create_server(app, certificate, announce).run([queue, run_host])


def banner(
    options: Options, queue: socket.socket, run_host: socket.socket, certificate: ServerCertificate | None
) -> str:
    """Return what is printed once it listens. Tests and the demo read it."""
    scheme = "http" if certificate is None else "https"
    host = f"[{options.host}]" if ":" in options.host else options.host
    origin = f"{scheme}://{host}:{queue.getsockname()[1]}"
    lines = {
        "queue": origin,
        "run": f"{scheme}://{host}:{run_host.getsockname()[1]}",
        "platform": f"{origin}/v1",
        "admin": f"{origin}/_emulator",
        "data": str(options.data),
        "keys": str(Keys(options.keys, options.admin_keys)),
    }
    if certificate is not None:
        lines["CA"] = str(certificate.ca)
    told = [f"  {name:<9} {value}" for name, value in lines.items()]
    return "\n".join(["fal emulator ready", *told, "", "To use it from Airflow:", _add_connection(options, origin)])


def _add_connection(options: Options, origin: str) -> str:
    """Return the command that adds a connection to it; a key that was named is not shown."""
    address = origin
    for everywhere, here in EVERYWHERE.items():  # what it listens on is no address to call
        address = address.replace(f"//{everywhere}:", f"//{here}:")
    key = "YOUR_KEY" if options.keys or options.admin_keys else "any"
    return f"airflow connections add pika_default --conn-type pika --conn-host {address} --conn-password {key}"


def _open(options: Options) -> Database:
    try:
        return Database(options.data)
    except DataFolderBusyError:
        message = f"another emulator works in {options.data}: stop it, or name another folder with --data"
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"cannot write to the data folder {options.data} ({reason}): name another with --data"
    raise UsageError(message)


def _listen(host: str, port: int, option: str) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"port {port} is in use: name another with {option} (0 picks a free one)") from None
        raise UsageError(f"cannot listen on {host} port {port} ({error.strerror}): see --host and {option}") from None
