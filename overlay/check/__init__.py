"""Finding and mending what is wrong with the upper layer, the index and the work directory.

problem     the kinds of problems, as a table: what, what it means, what the repair does
scan        one walk over everything, which changes nothing
structure   what the kernel's attributes in the upper layer say
marks       whether upper inodes and index entries name each other
names       whether the index agrees with the names that there are
repair      the repairs
private     the attributes of an inode that the checks look at
workdir     the work directory itself
run         the order of it all
"""
