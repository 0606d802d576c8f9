"""A key in software, which answers as a browser with it would, or otherwise."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import bytes_to_base64url as encoded

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


@dataclass
class SoftKey:
    """One key pair for one site."""

    origin: str = "http://localhost"
    site: str = "localhost"
    count: int = 0
    flags: int = PRESENT | VERIFIED
    id: bytes = field(default_factory=lambda: os.urandom(32))
    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def create(self, options: dict[str, Any], **changes: Any) -> str:
        """Return the answer to the options for a new key, as JSON."""
        numbers = self.private.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(cose)
        data = self._data(self.flags | ATTESTED) + attested
        answer = {
            "clientDataJSON": encoded(self._client_data("webauthn.create", options, changes)),
            "attestationObject": encoded(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})),
        }
        return self._answer(answer)

    def get(self, options: dict[str, Any], **changes: Any) -> str:
        """Return the answer to the options for a sign-in, as JSON."""
        self.count += 1
        data = self._data(self.flags)
        client_data = self._client_data("webauthn.get", options, changes)
        signed = data + hashlib.sha256(client_data).digest()
        answer = {
            "clientDataJSON": encoded(client_data),
            "authenticatorData": encoded(data),
            "signature": encoded(self.private.sign(signed, ec.ECDSA(SHA256()))),
            "userHandle": None,
        }
        return self._answer(answer)

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(self.site.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _client_data(self, kind: str, options: dict[str, Any], changes: dict[str, Any]) -> bytes:
        fields = {
            "type": kind,
            "challenge": options["challenge"],
            "origin": self.origin,
            "crossOrigin": False,
        }
        return json.dumps(fields | changes).encode()

    def _answer(self, answer: dict[str, Any]) -> str:
        about = {"id": encoded(self.id), "rawId": encoded(self.id), "type": "public-key"}
        return json.dumps({**about, "response": answer, "clientExtensionResults": {}})
