"""The network: sockets, connections, datagrams, and the event loop that serves them."""
