"""Signs a user in without the form."""

from datetime import UTC, datetime, timedelta

from flask.testing import FlaskClient

from vulsweb.accounts import sessions
from vulsweb.extensions import db
from vulsweb.models import User


def sign_in(client: FlaskClient, user: User) -> FlaskClient:
    """Give a client a session of the user, and return it."""
    key = sessions.begin(user, "127.0.0.1", "Tests", timedelta(hours=12), datetime.now(UTC))
    db.session.commit()
    with client.session_transaction() as session:
        session["_user_id"], session["_fresh"], session["key"] = user.get_id(), True, key
    return client
