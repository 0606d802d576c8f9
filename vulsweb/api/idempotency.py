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
    """Repeat the response stored for the key, or claim the key."""
    if request.method != "POST" or HEADER not in request.headers:
        return None
    # The draft defines the key as a quoted string; most clients send it without quotes.
    key = request.headers[HEADER].strip().removeprefix('"').removesuffix('"')
    if not (0 < len(key) <= LONGEST and key.isascii() and key.isprintable()):
        raise BadRequest(f"{HEADER} must be 1 to {LONGEST} printable ASCII characters.")
    content = f"{request.method} {request.full_path}\n".encode() + request.get_data()
    claim = Claim(current_user.id, key, hashlib.sha256(content).hexdigest(), datetime.now(UTC))
    earlier = idempotency.claim(claim)
    if earlier is None:
        g.idempotency_claim = claim
        return None
    if earlier.fingerprint != claim.fingerprint:
        raise UnprocessableEntity(f"This {HEADER} was used for another request.")
    if earlier.status is None:
        raise Conflict(
            f"The first request with this {HEADER} is still in progress. Try again in a moment."
            " If this does not change, check what the request did and use another key."
        )
    answer = Response(earlier.body, earlier.status, content_type=earlier.content_type)
    if earlier.location:
        answer.headers["Location"] = earlier.location
    answer.headers[REPLAYED] = "true"
    return answer


def finish(response: Response) -> Response:
    """Store the response under the key.

    Server errors are not stored, so that clients can retry.
    """
    claim: Claim | None = g.pop("idempotency_claim", None)
    if claim is None:
        return response
    if response.status_code >= 400:
        db.session.rollback()
    if response.status_code < 500:
        idempotency.store_response(
            claim,
            {
                "status": response.status_code,
                "body": response.get_data(as_text=True),
                "content_type": response.content_type,
                "location": response.headers.get("Location"),
            },
        )
        db.session.commit()
    return response
