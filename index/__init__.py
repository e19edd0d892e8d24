"""Who an inode is and where it lives; knows nothing of merging or of NFS."""
