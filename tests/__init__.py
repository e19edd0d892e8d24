"""The project's tests; `make check` runs the fast ones, `make test` all of them."""
