"""The merged tree as a filesystem on file descriptors; knows no NFS, no XDR, no sockets."""
