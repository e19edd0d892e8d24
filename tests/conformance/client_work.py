"""What a Linux client does all the time while things are done to its server.

Rule: nothing that it sees may change but by its own doing: contents, inode numbers, paths, errors.
Sizes and link counts of directories are left out, as each filesystem has its own.
"""

import re
from pathlib import Path

from tests.conformance.guest import Guest
from tests.conformance.loops import Loop

PASS_LIMIT = 600.0  # A pass takes seconds, and more where the others want the machine too.
LOG = Path("root/log")
LINES = 10  # that a pass appends to it

# `tail`: the one applet of busybox that goes back to the start of an open file.
LOOPS = {
    "read": Loop(
        begin="""
exec 5<usr/bin/bash
wanted=$(sha256sum <usr/bin/bash)
""",
        each="""
drop_caches
same 'the open file' "$wanted" "$(tail -c 99999999 <&5 | sha256sum)"
sleep 0.5
""",
    ),
    "append": Loop(
        begin=f"exec 6>>{LOG}",
        each=f"""
last=$((pass * {LINES}))
seq $((last - {LINES - 1})) $((last - 1)) >&6
echo $last | dd conv=fsync status=none >&6
sleep 0.5
""",
    ),
    "unlinked": Loop(
        begin="""
exec 5>>root/unlinked
exec 6<root/unlinked
rm root/unlinked
""",
        each="""
echo $pass | dd conv=fsync status=none >&5
echo $pass >>/tmp/unlinked
drop_caches
tail -c 99999999 <&6 | cmp - /tmp/unlinked
sleep 0.5
""",
    ),
    # A file of the lower layer that is held for the whole time, and another in each pass.
    "copy-up": Loop(
        begin="""
mkdir root/held
held=usr/share/common-licenses/GPL-3
exec 5<$held
cp $held /tmp/held
number=$(stat -c %i $held)
set -- $(find usr/share/doc usr/share/man -type f | sort)
""",
        each="""
mv $held root/held/long-$pass
held=root/held/long-$pass
echo $pass >>$held
echo $pass >>/tmp/held
exec 6<$1
cp $1 /tmp/next
next=$(stat -c %i $1)
chmod 600 $1
mv $1 root/held/next-$pass
shift
echo $pass >>root/held/next-$pass
echo $pass >>/tmp/next
drop_caches
tail -c 99999999 <&5 | cmp - /tmp/held
tail -c 99999999 <&6 | cmp - /tmp/next
same 'the inode number' $number $(stat -c %i $held)
same 'the inode number' $next $(stat -c %i root/held/next-$pass)
rm root/held/next-$pass
drop_caches
tail -c 99999999 <&6 | cmp - /tmp/next
exec 6<&-
sleep 0.5
""",
    ),
    "directory": Loop(
        begin="""
cd usr/share/perl5/Debconf/Element/Noninteractive
look() { busybox pwd; stat -c '%i %f %u:%g' .; ls -i; cat ./*; }
wanted=$(look)
""",
        each="""
drop_caches
same 'the working directory' "$wanted" "$(look)"
mv /mnt/usr/share/perl5/Debconf /mnt/srv/away
drop_caches
same 'its path' /mnt/srv/away/Element/Noninteractive $(busybox pwd)
cat ./Text.pm >/dev/null
mv /mnt/srv/away /mnt/usr/share/perl5/Debconf
sleep 0.5
""",
    ),
    "tar": Loop(
        begin="wanted=$(tar -cf - usr/share/zoneinfo/America | sha256sum)",
        each="""
drop_caches
same 'the archive' "$wanted" "$(tar -cf - usr/share/zoneinfo/America | sha256sum)"
""",
    ),
    "find": Loop(
        begin="""
list() { find etc usr/sbin -exec stat -c '%i %f %u:%g %y %N' {} + | sort; }
list >/tmp/listed
""",
        each="""
drop_caches
list | diff /tmp/listed -
""",
    ),
    "churn": Loop(
        # noclobber: the file must be new.
        begin="""
cd var/local
set -C
""",
        each="""
mkdir d
echo $pass >d/file
ln d/file link
mv d/file d/moved
ln -s target d/symlink
mkfifo d/fifo
same 'the names' 'fifo moved symlink' "$(echo $(ls d))"
same 'the content' $pass $(cat d/moved)
rm d/symlink
rm d/fifo
rm d/moved
same 'the content' $pass $(cat link)
rm link
rmdir d
sleep 0.1
""",
    ),
}

# All that a hard mount may say of a server that is away for a while.
MAY_BE_SAID = r"nfs: server \S+ (not responding, still trying|OK)"


def check_kernel_log(guest: Guest) -> None:
    """Fails if the guest's kernel has said more of NFS since the loops were started."""
    said = guest.run("dmesg | grep -iE 'nfs|rpc' || true").check()
    wrong = [line for line in said.splitlines() if not re.search(MAY_BE_SAID, line)]
    assert not wrong, "\n".join(wrong)


def check_appended(upper: Path, passes: int) -> None:
    """Fails if the upper layer does not have all lines of so many passes, in order."""
    lines = (upper / LOG).read_text().split()
    wanted = [str(number) for number in range(1, LINES * passes + 1)]
    assert lines == wanted, f"{len(lines)} lines, not {len(wanted)}, or not these"
