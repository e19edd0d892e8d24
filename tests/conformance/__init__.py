"""The server against other people's clients: a Linux kernel in QEMU, libnfs and pyNfsClient.

Rule: nothing here knows how the server is made; it is started by its command line and judged by
what clients see and by what the layers on disk hold.
"""

import sys

import xdrlib3

# pyNfsClient imports the standard library's xdrlib, which Python 3.13 no longer has.
sys.modules.setdefault("xdrlib", xdrlib3)
