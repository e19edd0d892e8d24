#!/bin/bash
# Installs the Debian packages that the tests use, or with `bench` the servers that are measured
# beside ours, as far as they are missing, if apt-get and root are at hand; otherwise says so, and
# the tests that need them skip themselves (or fail, when CI=true). No service is started.
set -uo pipefail

# program or file:package
wanted=(
  cc:gcc
  /usr/include/stdio.h:libc6-dev
  qemu-system-x86_64:qemu-system-x86
  debootstrap:debootstrap
  systemd-analyze:systemd
  systemd-nspawn:systemd-container
  nfs-ls:libnfs-utils
  setfacl:acl
  setfattr:attr
  strace:strace
  mkfs.xfs:xfsprogs
  mkfs.btrfs:btrfs-progs
  xz:xz-utils
  mksquashfs:squashfs-tools
  mkfs.erofs:erofs-utils
  bindfs:bindfs
  rsync:rsync
  rpcbind:rpcbind
  showmount:nfs-common
  sqlite3:sqlite3
  buildah:buildah
  dnsmasq:dnsmasq-base
  ip:iproute2
)
if [ "${1:-}" = bench ]; then
  wanted=(
    cc:gcc
    /usr/include/stdio.h:libc6-dev
    ganesha.nfsd:nfs-ganesha
    /usr/lib/*/ganesha/libfsalvfs.so:nfs-ganesha-vfs
    rpcbind:rpcbind
  )
fi

PATH=$PATH:/usr/sbin:/sbin
missing=()
for pair in "${wanted[@]}"; do
  # A glob that matches a file has become its name.
  command -v "${pair%%:*}" >/dev/null || compgen -G "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "missing: ${missing[*]} (no apt-get or not root; what needs them will say so)"
  exit 0
fi
echo "installing with apt-get: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
policy=/usr/sbin/policy-rc.d # Debian asks it whether a service may be started
made=
if [ ! -e "$policy" ]; then
  made=$policy
  printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
fi
trap 'rm -f "$log" $made' EXIT
if ! { timeout 300 apt-get update && timeout 900 apt-get install --yes --no-install-recommends \
  "${missing[@]}"; } </dev/null >"$log" 2>&1; then
  echo "apt-get could not install them:"
  tail -n 5 "$log"
fi
