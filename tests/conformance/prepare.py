"""Fills the cache before the tests: `python -m tests.conformance.prepare`.

Rule: what takes minutes the first time is done here, where its progress is seen and no test's time
limit runs. What cannot be had is told and left to the tests, which say so again.
"""

from tests.conformance.guest_image import image
from tests.conformance.layers import layers
from tests.conformance.machine import UnavailableError


def main() -> None:
    """Makes the guest's image and the layers, if they are not there."""
    for make in (image, layers):
        try:
            make()
        except UnavailableError as error:
            print(f"not available: {error}", flush=True)


if __name__ == "__main__":
    main()
