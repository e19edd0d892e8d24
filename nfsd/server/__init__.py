"""The server put together from its configuration: a worker's life, starts and reloads."""
