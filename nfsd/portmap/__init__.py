"""Who tells clients the ports: the machine's rpcbind, or a port mapper of our own."""
