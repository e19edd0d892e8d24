"""Linux: descriptors, system calls, kernel file handles, locks, memory."""
