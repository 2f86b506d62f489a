"""The Ed25519 key that webhooks are signed with, and its public half as a JWKS (fal-protocol.md 5)."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from airflow_provider_pika.emulator.data_folder import make_private

#: The user whose webhooks these are, which is part of what is signed.
USER_ID = "fal-emulator"


class Signer:
    """Signs webhook bodies. The key is made once per data folder, so that a cached JWKS outlives a restart."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def load(cls, path: Path) -> Signer:
        """Read the key in this file, or make it. Raises `ValueError` if the file holds something else."""
        is_new = not path.exists()
        make_private(path)
        if is_new:
            pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            path.write_bytes(pem)
        key = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{path} is not an Ed25519 key; delete it and a new one is made")
        return cls(key)

    def headers(self, request_id: str, body: bytes, timestamp: int) -> dict[str, str]:
        """Return the four headers of a delivery at ``timestamp`` (unix seconds)."""
        message = signed_message(request_id, USER_ID, timestamp, body)
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": USER_ID,
            "X-Fal-Webhook-Timestamp": str(timestamp),
            "X-Fal-Webhook-Signature": self._key.sign(message).hex(),
        }

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return what ``/.well-known/jwks.json`` answers."""
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        x = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
        kid = hashlib.sha256(public).hexdigest()[:16]
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x}]}


def signed_message(request_id: str, user_id: str, timestamp: int, body: bytes) -> bytes:
    """Return what is signed: three lines, and the hash of the raw body as a fourth."""
    return "\n".join([request_id, user_id, str(timestamp), hashlib.sha256(body).hexdigest()]).encode()
