"""The operations of clients, and the copy-up before a change."""
