"""A certificate authority of the emulator's own, for clients that insist on https."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from airflow_provider_pika.emulator.data_folder import make_private

CA_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=365)


@dataclass(frozen=True)
class Authority:
    """The CA. Kept in the data folder, so that what trusts it goes on trusting it after a restart."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def load(cls, certificate: Path, key: Path) -> Authority:
        """The CA in these two files, made if there is none. Raises `ValueError` if they hold something else."""
        if not (certificate.exists() and key.exists()):
            made = cls._make()
            _write_private(key, made.key)
            certificate.write_bytes(made.certificate.public_bytes(Encoding.PEM))
        make_private(key)
        private = load_pem_private_key(key.read_bytes(), password=None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key} is not an elliptic curve key; delete it and a new one is made")
        return cls(x509.load_pem_x509_certificate(certificate.read_bytes()), private)

    @classmethod
    def _make(cls) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fal emulator CA")])
        builder = _builder(name, name, key.public_key(), CA_LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    def issue(self, hosts: Sequence[str], certificate: Path, key: Path) -> None:
        """Write a server certificate for ``hosts``, localhost and the loopback addresses."""
        private = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fal emulator")])
        builder = _builder(subject, self.certificate.subject, private.public_key(), SERVER_LIFE)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        names = [_general_name(name) for name in dict.fromkeys([*hosts, "localhost", "127.0.0.1", "::1"])]
        for extension, critical in (
            (issuer, False),
            (x509.SubjectAlternativeName(names), False),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(signs_certificates=False), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        ):
            builder = builder.add_extension(extension, critical=critical)
        _write_private(key, private)
        certificate.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))


@dataclass(frozen=True)
class ServerCertificate:
    """The files of an https server, and the CA that a client has to trust."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def prepare(cls, folder: Path, hosts: Sequence[str]) -> ServerCertificate:
        """The CA of this folder, and a new certificate for these hosts."""
        made = cls(folder / "ca.pem", folder / "server.pem", folder / "server-key.pem")
        Authority.load(made.ca, folder / "ca-key.pem").issue(hosts, made.certificate, made.key)
        return made


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    # Valid since yesterday: a container's clock may be behind the host's.
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + life)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    make_private(path)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
