"""A certificate authority of the emulator's own, for clients that insist on https."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trustme import CA

from airflow_provider_pika.emulator.data_folder import make_private

#: Names of this machine, which every certificate covers.
LOCAL = ("localhost", "127.0.0.1", "::1")

#: A container's clock may be behind the host's, and browsers refuse certificates that are valid for years.
VALID_BEFORE, VALID_FOR = timedelta(days=1), timedelta(days=365)


class UncertifiableNameError(Exception):
    """A host has a name that no certificate can have. The text says which, and what to do."""


@dataclass(frozen=True)
class ServerCertificate:
    """The files of an https server, and the CA that a client has to trust."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def prepare(cls, folder: Path, hosts: Sequence[str]) -> ServerCertificate:
        """
        Issue a certificate for these hosts and the loopback ones, by the CA of this folder.

        Raises `UncertifiableNameError` for a name that cannot be in it, and `ValueError` if the CA cannot be read.
        """
        made = cls(folder / "ca.pem", folder / "server.pem", folder / "server-key.pem")
        now, authority = datetime.now(UTC), _authority(made.ca, folder / "ca-key.pem")
        try:
            leaf = authority.issue_cert(
                *dict.fromkeys([*hosts, *LOCAL]),
                common_name="fal emulator",
                not_before=now - VALID_BEFORE,
                not_after=now + VALID_FOR,
            )
        except UnicodeError as error:
            raise UncertifiableNameError(
                f"a certificate cannot have this name ({error}): use letters, digits and hyphens, or leave --tls out"
            ) from None
        _write_private(made.key, leaf.private_key_pem.bytes())
        made.certificate.write_bytes(leaf.cert_chain_pems[0].bytes())
        return made


def _authority(certificate: Path, key: Path) -> CA:
    """Read the CA in these two files, or make it. After a restart it is the same, and so still trusted."""
    if not (certificate.exists() and key.exists()):
        made = CA(organization_name="fal emulator", organization_unit_name="fal emulator CA", path_length=0)
        _write_private(key, made.private_key_pem.bytes())
        certificate.write_bytes(made.cert_pem.bytes())
    make_private(key)
    return CA.from_pem(certificate.read_bytes(), key.read_bytes())


def _write_private(path: Path, content: bytes) -> None:
    make_private(path)
    path.write_bytes(content)
