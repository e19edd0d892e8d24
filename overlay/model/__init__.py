"""What all operations share: the tree, its nodes, caches, permission, configuration."""
