"""CPE names as Vuls reads them: whether it accepts one.

The rules are those of the library that Vuls v0.26.0 uses (knqyf263/go-cpe). Some names make it crash, which
refuses the whole file.
"""

import functools
import re
import unicodedata

FIELDS = 11
COMPONENTS = 7
_EDITION = 6
_PARTS = ("a", "o", "h")
_WRONG_PART = "its first part must be a, o or h"
# What may follow a percent sign in a name of the form cpe:/.
_ENCODED = {f"%{ord(c):02x}": c for c in "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~"}
_SPECIAL = {"%01": "?", "%02": "*"}


class _Refused(ValueError):
    """Vuls refuses the name; the message says why."""


class _Crash(_Refused):
    """Vuls ends with a crash; here, it ignores no error."""


@functools.lru_cache(maxsize=4096)
def problem(name: str) -> str | None:
    """Return why Vuls refuses the CPE name, or None."""
    try:
        if name.startswith("cpe:2.3:"):
            fields = re.split(r"(?<!\\):", name)[2:]
            if "" in fields[:-1]:
                raise _Refused("one of its parts is empty; write * for any")
            if len(fields) != FIELDS:
                message = f"it must have {FIELDS} parts after cpe:2.3, but has {len(fields)}; write * for any"
                raise _Refused(message)
            for number, each in enumerate(fields):
                quoted = "" if each in ("*", "-") else _quote(each)
                if number == 0 and quoted not in _PARTS:
                    raise _Refused(_WRONG_PART)
                _check_value(quoted)
        elif name.startswith("cpe:/"):
            _check_uri(name)
        else:
            return "it must begin with cpe:/ or cpe:2.3:"
    except _Refused as refusal:
        return str(refusal)
    return None


def _quote(text: str) -> str:
    """Return a part of the form cpe:2.3 with its marks quoted."""
    # Go looks at bytes, and takes one that is no character for this sign.
    text = "".join(chr(byte) if byte < 128 else "\N{REPLACEMENT CHARACTER}" for byte in text.encode())
    quoted, position, embedded = "", 0, False
    while position < len(text):
        character, at_end = text[position], position in (0, len(text) - 1)
        if character == "\\" and position == len(text) - 1:
            raise _Crash("a part ends with a backslash")
        if character == "*" and not at_end:
            raise _Refused("a * can only begin or end a part")
        if character == "?":
            beside = text[position + 1 : position + 2] if embedded else text[position - 1]
            if not at_end and beside != "?":
                raise _Refused("a ? can only begin or end a part")
        embedded = character != "?"
        if character == "\\":
            quoted += text[position : position + 2]
            position += 1
        elif character in "*?_" or (character.isascii() and character.isalnum()):
            quoted += character
        else:
            quoted += f"\\{character}"
        position += 1
    return quoted


def _check_uri(name: str) -> None:
    components = name.split(":")[1:]
    if len(components) > COMPONENTS:
        raise _Refused(f"it must have at most {COMPONENTS} parts, but has {len(components)}")
    components[0] = components[0].lstrip("/")
    for number, component in enumerate(components, 1):
        packed = number == _EDITION and component.startswith("~")
        try:
            decoded = _decode(component)
        except _Refused as refusal:
            if number != _EDITION or isinstance(refusal, _Crash):
                raise
            decoded = ""  # Vuls takes it for any edition
        if number == 1 and decoded not in _PARTS:
            raise _Refused(_WRONG_PART)
        values = component[1:].split("~", 4) if packed else []
        if packed and len(values) != 5:
            raise _Refused("its edition begins with ~ and must have five parts")
        for value in map(_decode, values) if packed else [decoded]:
            _check_value(value)


def _decode(text: str) -> str:
    """Return a component with its percent signs replaced; empty for any."""
    if text in ("", "-"):
        return ""
    # Go looks at bytes.
    text = text.lower().encode().decode("latin-1")
    decoded, position, embedded = "", 0, False
    while position < len(text):
        character = text[position]
        if character != "%":
            decoded += f"\\{character}" if character in ".-~" else character
            position, embedded = position + 1, True
            continue
        form, at_end = text[position : position + 3], position in (0, len(text) - 3)
        if len(form) < 3:
            raise _Crash("two digits must follow a %")
        if form == "%01":
            following, before = text[position + 3 : position + 6], text[max(position - 3, 0) : position]
            if not at_end and (following if embedded else before) != form:
                raise _Refused("%01 can only begin or end a part")
        elif form == "%02" and not at_end:
            raise _Refused("%02 can only begin or end a part")
        elif form not in _ENCODED and form != "%02":
            raise _Refused(f"{form} is no character that it can have")
        decoded += _SPECIAL.get(form) or f"\\{_ENCODED[form]}"
        # Vuls keeps the state over %01.
        position, embedded = position + 3, embedded or form != "%01"
    return decoded.encode("latin-1").decode()


def _check_value(value: str) -> None:
    """Raise _Refused unless Vuls accepts the value of a component."""
    if value.startswith("**") or value.endswith("**"):
        raise _Refused("a part has more than one * in sequence")
    before = " "
    for position, character in enumerate(value):
        if not character.isprintable() or character.isspace():
            raise _Refused("it must not have spaces; write _ instead")
        is_mark = unicodedata.category(character).startswith("P") and character != "\\"
        if is_mark and before != "\\":
            if character == "*" and position not in (0, len(value) - 1):
                raise _Refused("a * can only begin or end a part")
            if character not in "*?_":
                raise _Refused(f"{character} must be written as %{ord(character):02x}")
        before = character
    if value != "?" and re.search(r"(?<!\\)\?", value.strip("?")):
        raise _Refused("a ? can only begin or end a part")
    if value in ("*", "\\-"):
        raise _Refused(f"a part must not be only {value.strip(chr(92))}")
    if re.search(r"(?<!\\)(?:\\\\)*\\\Z", value):
        raise _Crash("it ends with a backslash")
