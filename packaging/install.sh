#!/bin/sh
# Puts the program with all that it needs into a virtual environment: install.sh PYTHON DIRECTORY
# It is made beside the one that is there, which goes when this is whole: if anything fails,
# for want of a network, say, all is as it was.
set -eu
python=$1 directory=$2
cd "$(dirname "$0")/.."

# What runs as a service is not let into homes (ProtectHome=), nor is its interpreter.
home=$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))') || home=
case $home in
/root/* | /home/*)
  [ "${HOME_PYTHON:-}" = yes ] || {
    echo "$python is $home, which the service cannot run: it is kept out of /root and /home." >&2
    echo "Name another, like PYTHON=/usr/bin/python3; or give HOME_PYTHON=yes, and the service" >&2
    echo "ProtectHome=no (systemctl edit overlay-nfsd)." >&2
    exit 2
  }
  ;;
esac

rm -rf "$directory.new"
trap 'rm -rf "$directory.new"' EXIT
packaging/venv.sh "$python" "$directory.new"
can_compile='import pathlib, sysconfig
print(pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())'
if [ "${OVERLAY_NFSD_COMPILE:-}" != 0 ] && command -v "${CC:-cc}" >/dev/null &&
  [ "$("$python" -c "$can_compile")" = True ]; then
  echo "compiling and installing: a minute or two"
else
  echo "installing, not compiled: for twice the speed apt-get install gcc python3-dev"
fi
# What an earlier version left there would be installed with this one.
rm -rf build/lib* build/bdist.*
"$directory.new/bin/python" -m pip install --quiet --disable-pip-version-check . || {
  echo "nothing was changed: what pip says above has the reason" >&2
  exit 1
}
# Commands that name the place where they were made; the links to Python stay.
find "$directory.new/bin" -type f -delete
rm -rf "$directory.old"
[ ! -e "$directory" ] || mv "$directory" "$directory.old"
mv "$directory.new" "$directory"
rm -rf "$directory.old"
