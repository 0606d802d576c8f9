"""Error pages in the product's look."""

from flask import current_app, make_response, render_template
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

_SENTENCES = {
    400: "The browser sent something that this page cannot read.",
    404: "There is nothing at this address. It may have been deleted.",
    405: "This address does not take that kind of request.",
    413: "That is more than this page takes at once.",
    429: "Too many attempts. Wait a minute, then try again.",
    500: "Something broke on our side. The server's log says what; trying again may help.",
}
_KEPT = ("Allow", "Retry-After")
_EXPIRED = "This form has expired. Go back, reload and send it again."


def page(error: HTTPException) -> ResponseReturnValue:
    """Return the page for an HTTP error, with the headers that belong to it."""
    code = error.code or 500
    if error.response is not None or code < 400:
        return error
    sentence = _EXPIRED if isinstance(error, CSRFError) else _SENTENCES.get(code, str(error.description))
    answer = make_response(_drawn(code, title=error.name, sentence=sentence), code)
    answer.headers.update({name: value for name, value in error.get_headers() if name in _KEPT})
    return answer


def _drawn(code: int, **words: str) -> str:
    if code < 500:
        framed = current_user.is_authenticated
        return render_template("errors/page.html", code=code, framed=framed, **words)
    # Whatever broke may be what a person is looked up in, and render_template always looks who is there.
    return current_app.jinja_env.get_template("errors/page.html").render(code=code, framed=False, **words)
