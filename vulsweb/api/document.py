"""What the OpenAPI document says of every call: its name, its doors and the problems it may answer with."""

from typing import Any

from apispec import BasePlugin
from flask_smorest import Api

from vulsweb.accounts.permissions import required_role
from vulsweb.api.idempotency import HEADER, LONGEST, REPLAYED
from vulsweb.api.schemas import Problem
from vulsweb.api.ssh_schemas import RefusalOut, SshConfigProblem
from vulsweb.models import Role

DESCRIPTION = """Schedule scans and database updates, run them, and read what they found.

Send a token as `Authorization: Bearer TOKEN` (`vulsweb token create NAME` prints one). Errors are problem
details (RFC 9457). Every POST honours `Idempotency-Key`."""

_PROBLEMS = {
    400: "The request cannot be read, or lacks its CSRF token or a usable `Idempotency-Key`.",
    401: "Nobody is signed in and there is no valid token.",
    403: "The role of the person, or of the token's person, does not reach.",
    404: "There is nothing at this address.",
    409: "It cannot be done as things stand, or the first request with this key is not answered yet.",
    422: "Some fields are wrong (`errors` names them), or the key was used for another request.",
}
# Where the wrong parts of a request are not its fields.
_SHAPES = {"ssh_config_update": "SshConfigProblem"}
_KEY = {
    "name": HEADER,
    "in": "header",
    "description": "Sent again within 24 hours with the same request, the key yields the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": "^[!#-~]+$"},
    "example": "4f1c1d5e-2b1f-4d0e-9a53-3f0a4f6a2b7e",
}
_REPLAYED_HEADER = {
    "description": "`true` when it is the first answer again.",
    "schema": {"type": "string"},
}


class Completion(BasePlugin):
    """Adds to every operation what all operations have, so that no view repeats it."""

    def operation_helper(
        self, path: str | None = None, operations: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Complete the operations of one path."""
        for method, operation in (operations or {}).items():
            noun, verb = kwargs["rule"].endpoint.removeprefix("api_").split(".")
            operation["operationId"] = f"{noun}_{verb}"
            responses = operation["responses"]
            responses.pop("default", None)
            for status in _problems_of(method, path or "", kwargs["rule"].endpoint, operation):
                shape = {"$ref": f"#/components/schemas/{_SHAPES.get(f'{noun}_{verb}', 'Problem')}"}
                content = {"application/problem+json": {"schema": shape}}
                responses[status] = {"description": _PROBLEMS[status], "content": content}
            if method == "post":
                operation.setdefault("parameters", []).append(_KEY)
                for status, response in responses.items():
                    if 200 <= int(status) < 300:
                        response.setdefault("headers", {})[REPLAYED] = _REPLAYED_HEADER


def describe(api: Api) -> None:
    """Tell the document of its doors and of the shape of problems."""
    api.spec.components.schema("Problem", schema=Problem)
    api.spec.components.schema("Refusal", schema=RefusalOut)
    api.spec.components.schema("SshConfigProblem", schema=SshConfigProblem)
    api.spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    api.spec.components.security_scheme(
        "session",
        {
            "type": "apiKey",
            "in": "cookie",
            "name": "session",
            "description": "A signed-in browser; whatever writes also needs the header X-CSRFToken.",
        },
    )


def _problems_of(method: str, path: str, endpoint: str, operation: dict[str, Any]) -> list[int]:
    writes, reads_fields = method != "get", bool(operation.get("parameters") or operation.get("requestBody"))
    said = {
        400: writes,
        401: True,
        403: required_role(endpoint.rpartition(".")[0], method.upper()) is not Role.VIEWER,
        404: "{" in path,
        409: method in ("post", "put"),
        422: reads_fields or method == "post",
    }
    return [status for status, true in said.items() if true]
