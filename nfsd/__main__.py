"""`python -m nfsd`: the same as the command `overlay-nfsd`."""

import sys

from overlay_nfsd import main

if __name__ == "__main__":
    sys.exit(main())
