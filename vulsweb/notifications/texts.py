"""Messages as mail and chat show them: title, text, HTML."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from vulsweb.models import Event

# In one message. Whoever needs more opens the page.
MOST_EVENTS = 30
MOST_KINDS_IN_TITLE = 3


@dataclass(frozen=True)
class Text:
    """One message, ready to send."""

    title: str
    plain: str
    html: str


def write(events: Sequence[Event], url: str) -> Text:
    """Return the message about some events.

    `url` is the address of Vuls Web, for links; without one there are none.
    """
    if len(events) == 1:
        title = events[0].title
    else:
        counts = Counter(event.kind.label for event in events).most_common(MOST_KINDS_IN_TITLE)
        title = f"{len(events)} messages: " + ", ".join(f"{label} ({count})" for label, count in counts)
    shown, more = events[:MOST_EVENTS], len(events) - MOST_EVENTS
    plain = [_plain(event, url, alone=len(events) == 1) for event in shown]
    html = [_html(event, url, alone=len(events) == 1) for event in shown]
    if more > 0:
        plain.append(f"And {more:,} more.")
        html.append(Markup("<p>And {:,} more.</p>").format(more))
    return Text(f"Vuls Web: {title}", "\n\n".join(plain), str(Markup("\n").join(html)))


def _plain(event: Event, url: str, *, alone: bool) -> str:
    title = "" if alone else f"{event.title} ({event.at:%Y-%m-%d %H:%M} UTC)"
    link = f"{url}{event.path}" if url else ""
    return "\n".join(part for part in (title, event.text, link) if part) or event.title


def _html(event: Event, url: str, *, alone: bool) -> Markup:
    parts = []
    if not alone:
        parts.append(
            Markup("<h3>{}</h3><p><small>{:%Y-%m-%d %H:%M} UTC</small></p>").format(event.title, event.at)
        )
    parts += [
        Markup("<p>{}</p>").format(Markup("<br>").join(escape(line) for line in paragraph.split("\n")))
        for paragraph in event.text.split("\n\n")
        if paragraph
    ]
    if url:
        parts.append(Markup('<p><a href="{}">Open in Vuls Web</a></p>').format(f"{url}{event.path}"))
    return Markup("\n").join(parts or [Markup("<p>{}</p>").format(event.title)])
