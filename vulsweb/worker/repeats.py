"""Drops messages of beat that only repeat themselves.

No clocks of two machines are compared.
"""

import functools
import math
from collections.abc import Callable
from time import monotonic


def drop_repeats(seconds: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Drop beat's messages that come right after the same call.

    While no worker takes them, thousands of messages may gather. Each process does the first that it finds,
    and drops the others at once: those that come within `seconds` after the call ended. So the messages that
    gathered during a slow call are dropped too. Only messages of beat are (`by_beat`).
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        ended: dict[tuple[object, ...], float] = {}

        @functools.wraps(function)
        def drop_or_call(*arguments: object, by_beat: bool = False) -> None:
            if by_beat and monotonic() - ended.get(arguments, -math.inf) < seconds:
                return
            try:
                function(*arguments)
            finally:
                ended[arguments] = monotonic()

        return drop_or_call

    return decorate
