"""The overlay against the kernel's own, over random layers and random operations.

One sequence of operations is done twice, on identical copies of some layers: by us and on a kernel
overlay mount. Results, errors and trees must agree (docs/differences.md lists what need not), every
file handle taken on the way must keep its promise, and each side must read what the other wrote.

    layers      random layers, as data          operations  what can be done, and random drafts
    side        what both sides offer           kernel      the kernel's overlay mount
    objects     objects by file handle          served      us: paths walked by handle
    trees       a tree as plain values          handles     the promises of file handles
    sequence    one sequence, all of it         disk        filesystems to do it on
"""
