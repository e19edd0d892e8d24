"""Who may see what: exports, clients, their rights, and overlays for each client."""
