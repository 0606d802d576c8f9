"""A provider of OpenID Connect that answers as a test says, also wrongly."""

import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from werkzeug.wrappers import Response as BaseResponse

CLIENT_ID = "vulsweb"
CLIENT_SECRET = "the secret of the client, which nobody else has"


@dataclass
class Provider:
    """What the provider says of the one who signs in, and how."""

    url: str = ""  # set when it listens
    claims: dict[str, Any] = field(default_factory=lambda: {"sub": "7", "preferred_username": "otto"})
    userinfo: dict[str, Any] | None = None
    changes: dict[str, Any] = field(default_factory=dict)  # to the ID token; None removes a claim
    metadata: dict[str, Any] = field(default_factory=dict)  # changes to them
    header: dict[str, str] = field(default_factory=lambda: {"alg": "RS256"})
    key: RSAKey | OctKey | None = None  # that signs; None: the one that it publishes
    error: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    _own_key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048))

    def app(self) -> Flask:
        """Return its application."""
        app = Flask("provider")
        app.add_url_rule("/.well-known/openid-configuration", view_func=self._metadata)
        app.add_url_rule("/authorize", view_func=self._authorize)
        app.add_url_rule("/token", view_func=self._token, methods=["POST"])
        app.add_url_rule("/jwks", view_func=self._keys)
        app.add_url_rule("/userinfo", view_func=self._userinfo)
        return app

    def _metadata(self) -> Response:
        found = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        }
        if self.userinfo is not None:
            found["userinfo_endpoint"] = f"{self.url}/userinfo"
        return jsonify(found | self.metadata)

    def _authorize(self) -> BaseResponse:
        asked = request.args.to_dict()
        self.asked.append(asked)
        answer = {"state": asked["state"], **({"error": self.error} if self.error else {"code": "a-code"})}
        return redirect(f"{asked['redirect_uri']}?{urlencode(answer)}")

    def _token(self) -> tuple[Response, int] | Response:
        now, asked = int(time.time()), self.asked[-1]
        is_ours = request.authorization and request.authorization.password == CLIENT_SECRET
        if not is_ours or request.form["code"] != "a-code" or not request.form.get("code_verifier"):
            return jsonify({"error": "invalid_grant"}), 400
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 60,
            "nonce": asked.get("nonce"),
            **self.claims,
            **self.changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        signed = jwt.encode(self.header, claims, self.key or self._own_key, algorithms=[self.header["alg"]])
        return jsonify({"access_token": "an-access-token", "token_type": "Bearer", "id_token": signed})

    def _keys(self) -> Response:
        return jsonify({"keys": [self._own_key.as_dict(private=False)]})

    def _userinfo(self) -> Response:
        return jsonify(self.userinfo)
