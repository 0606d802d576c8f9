"""What all operations of the OpenAPI document share: ids, authentication and errors."""

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
details (RFC 9457). Every POST accepts an `Idempotency-Key`. Unknown parameters and fields are refused."""

_PROBLEMS = {
    400: "The body is not JSON, the CSRF token is missing, or the `Idempotency-Key` is not valid.",
    401: "Not signed in, and no valid token.",
    403: "The role of the user is not sufficient.",
    404: "Not found.",
    409: "Conflict with the current state, or the first request with this key is still in progress.",
    415: "The request has a body whose `Content-Type` is not JSON.",
    422: "Fields or parameters are wrong or unknown (see `errors`), or the key was used before.",
}
# Operations whose errors have a schema of their own.
_PROBLEM_SCHEMAS = {"ssh_config_update": "SshConfigProblem"}
_KEY = {
    "name": HEADER,
    "in": "header",
    "description": "The same request with the same key within 24 hours returns the first response again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": "^[!#-~]+$"},
    "example": "4f1c1d5e-2b1f-4d0e-9a53-3f0a4f6a2b7e",
}
_REPLAYED_HEADER = {
    "description": "`true` if this repeats the first response.",
    "schema": {"type": "string"},
}


class SharedParts(BasePlugin):
    """Adds to every operation what all operations have in common."""

    def operation_helper(
        self, path: str | None = None, operations: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Complete the operations of one path."""
        endpoint = kwargs["rule"].endpoint
        noun, verb = endpoint.removeprefix("api_").split(".")
        schema = {"$ref": f"#/components/schemas/{_PROBLEM_SCHEMAS.get(f'{noun}_{verb}', 'Problem')}"}
        for method, operation in (operations or {}).items():
            operation["operationId"] = f"{noun}_{verb}"
            responses = operation["responses"]
            responses.pop("default", None)
            possible = {
                400: True,
                401: True,
                403: required_role(endpoint.rpartition(".")[0], method.upper()) is not Role.VIEWER,
                404: "{" in (path or ""),
                409: method in ("post", "put", "patch"),
                415: True,
                422: True,
            }
            for status in (status for status, is_possible in possible.items() if is_possible):
                content = {"application/problem+json": {"schema": schema}}
                responses[status] = {"description": _PROBLEMS[status], "content": content}
            if method == "post":
                operation.setdefault("parameters", []).append(_KEY)
                for status, response in responses.items():
                    if 200 <= int(status) < 300:
                        response.setdefault("headers", {})[REPLAYED] = _REPLAYED_HEADER


def describe(api: Api) -> None:
    """Add the schemas of errors and the ways to authenticate."""
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
            "description": "The session of a browser; writes also need the header X-CSRFToken.",
        },
    )
