#!/bin/sh
# Makes a small overlay to try the server with: two lower layers, an upper and a workdir.
# An overlay that is already there is left as it is, so what a client wrote stays.
set -eu
dir=$1 new=$1.new
[ ! -e "$dir/lower2/doc/old" ] || exit 0 # what is made last

refuse() {
  rm -rf "$new"
  echo "$1" >&2
  exit 2
}

rm -rf "$new"
mkdir -p "$new/lower1/etc" "$new/lower1/doc/old" "$new/lower2/etc" "$new/upper" "$new/work"
echo "from the bottom layer" >"$new/lower1/etc/motd"
echo "red" >"$new/lower1/etc/colour"
echo "a file to write to; it will be copied up" >"$new/lower1/doc/readme"
ln "$new/lower1/doc/readme" "$new/lower1/doc/readme-link"
ln -s ../etc/motd "$new/lower1/doc/motd"
echo "hidden by the layer above" >"$new/lower1/doc/old/gone"
echo "blue, from the top layer" >"$new/lower2/etc/colour"
mkdir "$new/lower2/doc"
# A whiteout: the layer above removes the directory doc/old.
mknod "$new/lower2/doc/old" c 0 0 || refuse "no demonstration can be in $dir, which is on \
$(stat -fc %T "$new"): name a directory on ext4, xfs, btrfs or tmpfs, like DEMO=/dev/shm/demo"
# Into the place of nothing, or of an empty directory.
mv -T "$new" "$dir" || refuse "$dir is there already, and is no demonstration or half of one: \
remove it, or name another directory with DEMO="
