"""The files that docs/diskless.md prints fit together, and dnsmasq takes its own."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.printed import DOCS, printed

pytestmark = pytest.mark.once

TEXT = (DOCS / "diskless.md").read_text()


def test_dnsmasq_takes_its_file_and_serves_addresses(tmp_path: Path) -> None:
    config = printed(TEXT, "`/etc/dnsmasq.d/diskless.conf`")
    assert re.search(r"(?m)^dhcp-range=[0-9.]+,static,", config), "without it there is no DHCP"
    if shutil.which("dnsmasq") is None:
        pytest.skip("no dnsmasq")
    file = tmp_path / "diskless.conf"
    file.write_text(config.replace("/srv/tftp", str(tmp_path)))
    done = subprocess.run(
        ["dnsmasq", "--test", f"--conf-file={file}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_loaders_are_there_and_load_what_is_copied() -> None:
    copied = set(re.findall(r"/([\w.]+)(?= |\n)", printed(TEXT, "or on another one of the room:")))
    copied |= {"boot.ipxe"}
    boots = re.findall(
        r"(?m)^dhcp-boot=.*,([\w.]+)$", printed(TEXT, "`/etc/dnsmasq.d/diskless.conf`")
    )
    assert len(boots) == 3
    assert set(boots) <= copied
    for before in ("`/srv/tftp/pxelinux.cfg/default`", "`/srv/tftp/boot.ipxe`"):
        loaded = re.findall(r"(?im)^ *(?:kernel|initrd) (\S+)", printed(TEXT, before))
        assert sorted(loaded) == ["initrd.img", "vmlinuz"]
        assert set(loaded) <= copied
        assert "nfsroot=10.0.0.1:/debian,tcp ip=dhcp rw" in printed(TEXT, before)
