"""What all clips of a batch are saved by: one code for the operator that saves them, and for a batch as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_pika.exceptions import PikaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_pika.fal.account import Account
    from airflow_provider_pika.hooks.pika import PikaHook
    from airflow_provider_pika.saving.batch import Terms

#: The defaults of the operator that saves; a batch that saves as it goes has no others.
AT_ONCE, MAX_BYTES, TIMEOUT, STALL_TIMEOUT = 16, 2 * 1024**3, 3600.0, 30.0


def saving_terms_of(
    context: Context,
    pika_conn_id: str,
    *,
    conn_id: str | None = None,
    limits: tuple[float, float, int] = (TIMEOUT, STALL_TIMEOUT, MAX_BYTES),
    overwrite: bool = False,
    must_fit: bool = True,
    poster: bool = True,
    at_once: int = AT_ONCE,
    tell: Callable[[str], object],
    warn: Callable[[str], object],
    debug: Callable[[str], object],
    check: Callable[[], object],
) -> Terms:
    """Return what all clips have in common; Airflow is asked for the connection here, and by no thread.

    :param limits: ``timeout``, ``stall_timeout`` and ``max_bytes``.
    :param tell: as ``saving.batch.Terms``, and so are ``warn``, ``debug`` and ``check``.

    The others are those of ``PikaBatchToObjectStorageOperator``.
    """
    from airflow_provider_pika.hooks.pika import PikaHook
    from airflow_provider_pika.media.download import Limits
    from airflow_provider_pika.saving.batch import Terms
    from airflow_provider_pika.saving.metadata import saved_by
    from airflow_provider_pika.saving.object_store import writer_of
    from airflow_provider_pika.saving.poster import can_be_made

    hook = PikaHook(pika_conn_id)
    return Terms(
        conn_id=conn_id,
        writer=writer_of(context["ti"]),
        trust=hook.trust(),
        account=_account(hook, tell),
        limits=Limits(*limits),
        overwrite=overwrite,
        must_fit=must_fit,
        poster=poster and can_be_made(tell),
        at_once=at_once,
        saved=lambda: saved_by(context["ti"]),
        tell=tell,
        warn=warn,
        debug=debug,
        check=check,
    )


def _account(hook: PikaHook, tell: Callable[[str], object]) -> Account | None:
    """Return with which key fal is asked about the clips; None: with none, which costs no file."""
    try:
        with hook.get_conn() as queue:
            return queue.account
    except Exception as error:
        why = error.message if isinstance(error, PikaError) else type(error).__name__  # it may quote a password
        tell(f"fal is not asked about the clips, so their metadata files have gaps: {why}")
        return None
