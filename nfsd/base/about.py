"""What this program is called."""

from typing import Final

PROGRAM: Final = "overlay-nfsd"
