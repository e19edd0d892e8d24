"""The processes of a server: the supervisor, its workers, and the service manager."""
