#!/bin/sh
# Makes a virtual environment, whole or not at all: venv.sh PYTHON DIRECTORY
# One that is whole is left as it is; one that is not, as Debian's Python leaves it that lacks
# python3-venv, is made anew.
set -eu
python=$1 directory=$2

refuse() {
  echo "$1" >&2
  exit 2
}

! "$directory/bin/python" -m pip --version >/dev/null 2>&1 || exit 0
command -v "$python" >/dev/null ||
  refuse "there is no $python: apt-get install python3 python3-venv, or name one, PYTHON=/usr/bin/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  refuse "$python is older than Python 3.11: name another, like PYTHON=python3.11"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
  refuse "$python makes no virtual environments: apt-get install python3-venv"
rm -rf "$directory"
"$python" -m venv "$directory" || {
  rm -rf "$directory"
  refuse "$python -m venv failed: what it said above has the reason"
}
