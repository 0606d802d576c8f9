"""Error pages."""

from flask import current_app, make_response, render_template
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

_SENTENCES = {
    400: "The browser sent a request that this page cannot read.",
    404: "This page does not exist. It may have been deleted.",
    405: "This page does not accept this kind of request.",
    413: "The request is too large.",
    429: "Too many attempts. Wait a minute, then try again.",
    500: "Something went wrong on the server. Try again; if it fails again, see the server log.",
}
_HEADERS = ("Allow", "Retry-After")
_EXPIRED = "This form has expired. Go back, reload the page and send it again."


def page(error: HTTPException) -> ResponseReturnValue:
    """Return the page for an HTTP error, with its headers."""
    code = error.code or 500
    if error.response is not None or code < 400:
        return error
    sentence = _EXPIRED if isinstance(error, CSRFError) else _SENTENCES.get(code, str(error.description))
    context = {"code": code, "title": error.name, "sentence": sentence}
    if code < 500:
        html = render_template("errors/page.html", framed=current_user.is_authenticated, **context)
    else:
        # render_template always looks up the user, which may be what failed.
        html = current_app.jinja_env.get_template("errors/page.html").render(framed=False, **context)
    answer = make_response(html, code)
    answer.headers.update({name: value for name, value in error.get_headers() if name in _HEADERS})
    return answer
