#!/bin/sh
# Makes a small overlay to try the server with: two lower layers, an upper and a workdir.
# An overlay that is already there is left as it is, so what a client wrote stays.
set -eu
dir=$1
[ ! -e "$dir/lower1" ] || exit 0

mkdir -p "$dir/lower1/etc" "$dir/lower1/doc/old" "$dir/lower2/etc" "$dir/upper" "$dir/work"
echo "from the bottom layer" >"$dir/lower1/etc/motd"
echo "red" >"$dir/lower1/etc/colour"
echo "a file to write to; it will be copied up" >"$dir/lower1/doc/readme"
ln "$dir/lower1/doc/readme" "$dir/lower1/doc/readme-link"
ln -s ../etc/motd "$dir/lower1/doc/motd"
echo "hidden by the layer above" >"$dir/lower1/doc/old/gone"
echo "blue, from the top layer" >"$dir/lower2/etc/colour"
mkdir "$dir/lower2/doc"
# A whiteout: the layer above removes the directory doc/old.
mknod "$dir/lower2/doc/old" c 0 0
