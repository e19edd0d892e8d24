"""The settings of the configuration file and the options of exports, with what each means.

The reader of the file accepts no setting that is not here. The manual page is made from this
module.
"""

from __future__ import annotations

from typing import Final

# Of the [server] table.
SERVER: Final[dict[str, str]] = {
    "listen": "A list of ADDR:PORT to serve on, NFS and MOUNT on the same port. An IPv6 address, "
    'in brackets, is for IPv6 alone; "*:2049" is all addresses of both versions that this machine '
    'has; a name is all addresses that it has. The default is "*:2049".',
    "workers": "How many processes serve clients. The default is one for each processor.",
    "cache_size": "How much memory cached replies, names, listings and objects may take, in all "
    "workers together: from 64M to 1T, with K, M, G or T. The default is 512M.",
    "metrics": "ADDR:PORT where GET /metrics is answered, for Prometheus and for `overlay-nfsd "
    "top`. Without it, nowhere. All that can connect can read the addresses of clients there.",
    "rpcbind": 'How clients learn the ports: "system", from the rpcbind of this machine; '
    '"embedded", from this server on port 111; "off", from their mount options. The default is '
    '"system", unless only this machine is served.',
    "udp": "Whether NFS is served by UDP, too. The default is false.",
    "manage_gids": "Whether this machine decides which groups a user is in, as `id` shows them, "
    "rather than the call, which can name 16 at most. A user that this machine does not know keeps "
    "the groups of the call. A change counts within 90 s. The default is false.",
    "locks": 'Whether files can be locked (NLM and NSM): "on", the default; "off"; or "local": '
    "on files of the upper layer, locks of clients and of processes of this machine exclude each "
    "other.",
    "lock_port": "The port of NLM and NSM. The default is one that is free.",
    "grace": "Seconds after a start in which clients reclaim the locks that they had, and get no "
    "new ones. The default is 50.",
}

# Of each [[export]] table.
EXPORT: Final[dict[str, str]] = {
    "path": "What clients mount it as: an absolute path, which need not exist. Paths may be "
    "nested; the longest that contains what is mounted decides.",
    "lowerdir": "A list of the read-only layers, the topmost first.",
    "upperdir": "The layer that changes go to. Without it and workdir the export is read-only.",
    "workdir": "A directory beside the upper layer, on the same filesystem: staging area and "
    "index. Keep it with the upper layer: without it, all file handles are lost.",
    "datadir": "A list of data-only layers, reached by the redirects of metacopies alone.",
    "userxattr": "Whether the private attributes of the layers are user.overlay.* rather than "
    "trusted.overlay.*. The default is false.",
    "metacopy": "Whether a change of attributes alone copies up a file without its data "
    "(overlay.metacopy). With false all of it is copied, as a mount with metacopy=off does. Use "
    "that for an upper layer that others read file by file, as container engines do. Metacopies "
    "that were made before are read. The default is that of redirect_dir.",
    "redirect_dir": "Whether a directory that a lower layer has, too, can be renamed "
    "(overlay.redirect). With false rename fails with EXDEV, as with redirect_dir=off, and "
    "programs like mv copy the directory. Existing redirects are followed. The default is true, "
    "with userxattr false.",
    "inode_bits": "How long the inode numbers are that clients see, 32 or 64 bits. Where "
    "layers lie on several filesystems, those of 64 bits may be above 2^56, and old programs of 32 "
    "bits get EOVERFLOW. It may be changed at any time: handles stay what they are. The default "
    "is 64.",
    "max_clients": "Where upperdir and workdir contain {client}: how many clients may have upper "
    "layers of their own. The default is 64.",
    "client_space": "Where upperdir and workdir contain {client}: how much space on disk each "
    "client's upper layer may take, from 1M to 1000T, with K, M, G or T. Beyond it clients are "
    "told that their quota is exceeded. The default is no limit.",
    "client_files": "The same for the number of objects of any type in it.",
    "names": "Where upperdir and workdir contain {client}: what it stands for, by address, as in "
    '{ "10.0.0.11" = "pc11" }. For any other client it is the address. Several addresses of one '
    "machine may have one name.",
    "leases": "The same by the names that a DHCP server has on record: a list of files of leases, "
    "of dnsmasq, ISC dhcpd or Kea. The table names comes first. A client that has no name is then "
    "refused. One whose lease ends keeps its name until another client gets the address.",
    "hook": "Where upperdir and workdir contain {client}: a program that is run as root when a "
    'client\'s layer is made or reset, before the client gets it, with "made" or "reset", the '
    "client's name or address, and a directory. The layer begins with what the program puts into "
    "the directory. The mount is refused unless the program ends with status 0 within a minute.",
    "reset": 'Where upperdir and workdir contain {client}: with "mount", a client that mounts the '
    "export begins with an empty layer, unless it is running and uses it. Without it, "
    "layers stay until `overlay-nfsd clients reset`.",
    "clients": "Patterns of clients with the options that each has, as in "
    '{ "10.0.0.0/8" = "rw", "*" = "ro" }, on one line; or, after all other settings of the '
    "export, a line [export.clients], and below it a line for each. Other clients are not let in.",
}

# Patterns of clients, the most specific kind first.
PATTERNS: Final[dict[str, str]] = {
    "10.1.2.3, 2001:db8::1": "One address.",
    "host.example.org": "A host by its name.",
    "10.0.0.0/8, 10.0.0.0/255.0.0.0, 2001:db8::/32": "A network.",
    "*.example.org, node[0-9]": "Hosts by a wildcard, if the name leads back to the address.",
    "@group": "The hosts of a netgroup.",
    "*": "Everybody.",
}

# Options of an export for some clients; of two words the first is the default.
OPTIONS: Final[dict[str, str]] = {
    "ro, rw": "Whether anything may be changed.",
    "root_squash, no_root_squash": "Whether user and group 0 act as nobody.",
    "no_all_squash, all_squash": "Whether everybody acts as nobody.",
    "anonuid=65534, anongid=65534": "The user and the group that nobody is.",
    "squash_uids=N-N:N, squash_gids=N-N:N": "Further users and groups that act as nobody: "
    "numbers and ranges, separated by colons. The default is none.",
    "secure, insecure": "Whether calls must come from a port below 1024.",
    "sync, async": "Whether a change of names or attributes is on the disk when it is answered. "
    "Data is on the disk whenever the client has asked for that.",
    "fsid=N": "The number of the filesystem for clients. The default is one of the export's own.",
    "sec=sys": "The only flavour.",
}
