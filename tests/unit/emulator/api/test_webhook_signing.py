"""Webhook signatures, checked with the public half alone."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from airflow_provider_pika.emulator.api.webhook_signing import Signer


def public_key(signer: Signer) -> Ed25519PublicKey:
    (key,) = signer.jwks()["keys"]
    assert (key["kty"], key["crv"]) == ("OKP", "Ed25519")
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))


def test_a_signature_is_over_id_user_time_and_body(tmp_path: Path) -> None:
    signer, body = Signer.load(tmp_path / "key.pem"), b'{"status": "OK"}'
    headers = signer.headers("some-id", body, 1_700_000_000)
    lines = ["some-id", headers["X-Fal-Webhook-User-Id"], "1700000000", hashlib.sha256(body).hexdigest()]
    signature = bytes.fromhex(headers["X-Fal-Webhook-Signature"])
    public_key(signer).verify(signature, "\n".join(lines).encode())
    with pytest.raises(InvalidSignature):
        public_key(signer).verify(signature, "\n".join(lines).encode().replace(b"1700", b"1800"))


def test_the_key_outlives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    assert Signer.load(path).jwks() == Signer.load(path).jwks()
    assert path.stat().st_mode & 0o077 == 0
