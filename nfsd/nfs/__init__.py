"""The programs that clients call for files: NFSv3, MOUNT and NFSACL."""
