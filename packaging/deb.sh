#!/bin/sh
# Builds a Debian package of what `make install` installs: deb.sh DIRECTORY, where it is put
# It runs on the Python of Debian whose minor version it was built with, and brings all else along.
set -eu
cd "$(dirname "$0")/.."
directory=$1
python=/usr/bin/python3
root=$directory/root
lib=$root/usr/lib/overlay-nfsd
doc=$root/usr/share/doc/overlay-nfsd

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
changed=${SOURCE_DATE_EPOCH:-$(date +%s)}
if commit=$(git log -1 --format=%h 2>/dev/null); then
  changed=$(git log -1 --format=%ct)
  version=$version+git$(date -u -d "@$changed" +%Y%m%d%H%M%S).$commit
fi
export SOURCE_DATE_EPOCH="$changed"

rm -rf "$root"
mkdir -p "$root"
umask 022
make --no-print-directory install "DESTDIR=$root" PREFIX=/usr SYSCONFDIR=/etc "PYTHON=$python"

# What only whoever builds needs, and where that was.
"$lib/bin/python" -m pip uninstall --quiet --yes setuptools pip
find "$lib" -name __pycache__ -prune -exec rm -rf {} +
find "$lib" -name direct_url.json -delete
sed -i '/^command = /d' "$lib/pyvenv.cfg"
ln -sf ../../../bin/python3 "$lib/bin/python3"
! command -v strip >/dev/null || find "$lib" -name '*.so*' -exec strip --strip-unneeded {} +

find "$root/usr/share/man" -type f -exec gzip -9n {} +
cp packaging/debian/copyright "$doc/copyright"
printf 'overlay-nfsd (%s) unstable; urgency=medium\n\n  * As it is in its repository.\n\n -- %s  %s\n' \
  "$version" "$(sed -n 's/^Maintainer: //p' packaging/debian/control)" \
  "$(date -u -R -d "@$changed")" | gzip -9n >"$doc/changelog.gz"

minor=$("$python" -c 'import sys; print(sys.version_info.minor)')
libc=$(dpkg-query --show --showformat='${source:Upstream-Version}' libc6)
architecture=$(dpkg --print-architecture)
mkdir "$root/DEBIAN"
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@LIBC@/$libc/" \
  -e "s/@PYTHON@/3.$minor/" -e "s/@NEXT@/3.$((minor + 1))/" \
  -e "s/@SIZE@/$(du -ks --exclude=DEBIAN "$root" | cut -f1)/" \
  packaging/debian/control >"$root/DEBIAN/control"
install -m 755 packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm "$root/DEBIAN"
echo /etc/overlay-nfsd.toml.example >"$root/DEBIAN/conffiles"
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
chmod -R u=rwX,go=rX "$root"

package=$directory/overlay-nfsd_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
rm -rf "$root"
echo "made $package"
