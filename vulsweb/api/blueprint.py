"""Blueprints of the API, which refuse what a call would ignore."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import flask_smorest
from flask import Request, current_app, request
from marshmallow import Schema, fields
from webargs.core import missing
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from vulsweb.api.problems import InvalidFields
from vulsweb.api.schemas import Nothing

View = Callable[..., Any]


class Parser(FlaskParser):
    """Reads bodies by our rules for JSON."""

    def load_json(self, req: Request, schema: Schema) -> Any:  # noqa: ARG002 - the parser's signature
        """Return the parsed body, or `missing` if there is none."""
        return read_json(req)


class Blueprint(flask_smorest.Blueprint):
    """A blueprint that knows which parameters and fields its calls take."""

    ARGUMENTS_PARSER = Parser()

    def arguments(
        self, schema: type[Schema] | Schema, *, location: str = "json", **options: Any
    ) -> Callable[[View], View]:
        """Declare the query or the body, for the call and for `check`."""
        decorate = super().arguments(schema, location=location, **options)

        def remember(view: View) -> View:
            wrapped: View = decorate(view)
            wrapped.__dict__["takes"] = {**getattr(view, "takes", {}), location: schema}
            return wrapped

        return remember

    def add_url_rule(self, *args: Any, **options: Any) -> None:
        """Add a route, with and without a slash at its end."""
        super().add_url_rule(*args, strict_slashes=False, **options)


def check() -> None:
    """Refuse parameters and bodies that the call would ignore."""
    assert request.endpoint is not None  # noqa: S101 - only called for requests to a blueprint
    takes = getattr(current_app.view_functions[request.endpoint], "takes", {})
    check_query(takes.get("query", Nothing)().fields)
    # A form that was parsed for its CSRF token leaves no data behind, only its length.
    if not (request.content_length or request.get_data()):
        return
    if request.mimetype != "application/json" and not request.mimetype.endswith("+json"):
        sent = f"is {request.mimetype}" if request.mimetype else "is missing"
        raise UnsupportedMediaType(
            f"Send the body as JSON, with the header Content-Type: application/json; its content-type {sent}."
        )
    if "json" not in takes:
        Blueprint.ARGUMENTS_PARSER.parse(Nothing, request, location="json")


def check_query(known: Mapping[str, fields.Field[Any]]) -> None:
    """Refuse unknown parameters, and values of which only the first would count."""
    takes = f"This call takes {', '.join(known)}." if known else "This call takes no parameters."
    errors = {}
    for name, values in request.args.lists():
        if name not in known:
            errors[name] = f"Unknown parameter. {takes}"
        elif len(values) > 1 and not isinstance(known[name], fields.List):
            errors[name] = "Send this parameter only once."
    if errors:
        raise InvalidFields(errors)


def read_json(req: Request) -> Any:
    """Return the body as Python values, or `missing` if it is empty.

    A byte order mark is skipped, as RFC 8259 allows: editors on Windows write one.
    """
    data = req.get_data()
    if not data:
        return missing
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_without_repetition)
    except RecursionError as error:
        raise BadRequest("The body is not usable JSON: it is nested too deeply.") from error
    except ValueError as error:
        raise BadRequest(f"The body is not usable JSON: {error}.") from error


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the field {name!r} is there twice")
        found[name] = value
    return found
