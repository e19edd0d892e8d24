"""Clients that mean harm, beside one that does not: what the good one sees of each attack."""
