"""How what was asked for is refused: by a command, by a start, by a reload."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - what is said is for the user, not an error of ours
    """What was asked for cannot be done; the text is one line with the cure."""
