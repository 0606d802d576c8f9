"""`Idempotency-Key` on every POST, after draft-ietf-httpapi-idempotency-key-header."""

import hashlib
from datetime import UTC, datetime

from flask import Response, g, request
from flask_login import current_user
from werkzeug.exceptions import BadRequest, Conflict, UnprocessableEntity

from vulsweb import idempotency
from vulsweb.extensions import db
from vulsweb.idempotency import Claim

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
LONGEST = 255


def begin() -> Response | None:
    """Answer a request whose key has been answered; otherwise take the key for this one."""
    if request.method != "POST" or HEADER not in request.headers:
        return None
    wanted = Claim(current_user.id, _key(), _fingerprint(), datetime.now(UTC))
    kept = idempotency.claim(wanted)
    if kept is None:
        g.idempotency_claim = wanted
        return None
    if kept.fingerprint != wanted.fingerprint:
        raise UnprocessableEntity(f"This {HEADER} was used for another request.")
    if kept.status is None:
        raise Conflict(
            f"The first request with this {HEADER} has not been answered yet. Try again in a moment;"
            " should this stay so, look at what it did and use another key."
        )
    answer = Response(kept.body, kept.status, content_type=kept.content_type)
    if kept.location:
        answer.headers["Location"] = kept.location
    answer.headers[REPLAYED] = "true"
    return answer


def finish(response: Response) -> Response:
    """Keep the answer under the request's key; a failure of ours is kept nowhere, so that one may retry."""
    claimed: Claim | None = g.pop("idempotency_claim", None)
    if claimed is None:
        return response
    if response.status_code >= 400:
        db.session.rollback()
    if response.status_code < 500:
        idempotency.keep(
            claimed,
            {
                "status": response.status_code,
                "body": response.get_data(as_text=True),
                "content_type": response.content_type,
                "location": response.headers.get("Location"),
            },
        )
        db.session.commit()
    return response


def _key() -> str:
    # The draft writes the key as a quoted string; most programs send it bare.
    key = request.headers[HEADER].strip().removeprefix('"').removesuffix('"')
    if not (0 < len(key) <= LONGEST and key.isascii() and key.isprintable()):
        raise BadRequest(f"{HEADER} is 1 to {LONGEST} printable ASCII characters.")
    return key


def _fingerprint() -> str:
    asked = f"{request.method} {request.full_path}\n".encode() + request.get_data()
    return hashlib.sha256(asked).hexdigest()
