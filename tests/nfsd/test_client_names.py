"""What clients' upper layers are called: by configuration, by leases, by former mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nfsd.export import client_names, dhcp_leases
from nfsd.export.client_names import ClientNames

DNSMASQ = """\
1764436335 52:54:00:12:34:56 10.0.0.11 PC11 01:52:54:00:12:34:56
0 52:54:00:12:34:57 10.0.0.12 pc12 *
1764436335 52:54:00:12:34:58 10.0.0.13 * *
duid 00:01:00:01:2e:0d
1764436335 1128504 2001:db8::11 pc11 00:01:00:01
"""
ISC = """\
# The format of this file is documented in the dhcpd.leases(5) manual page.
authoring-byte-order little-endian;
lease 10.0.0.11 {
  starts 6 2026/11/28 10:00:00;
  binding state active;
  next binding state free;
  client-hostname "old";
}
lease 10.0.0.11 {
  binding state active;
  hardware ethernet 52:54:00:12:34:56;
  client-hostname "pc11";
}
lease 10.0.0.12 {
  binding state active;
  client-hostname "pc12";
}
lease 10.0.0.13 {
  binding state active;
}
lease 10.0.0.14 {
  binding state active;
  client-hostname "gone";
}
lease 10.0.0.14 {
  binding state free;
}
"""
TITLES = (
    "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,"
    "user_context\n"
)
KEA_BEFORE = f"{TITLES}10.0.0.12,52:54:00:12:34:57,,3600,1764436335,1,0,0,pc12,0,\n"
KEA = f"""\
{TITLES}10.0.0.11,52:54:00:12:34:56,,3600,1764436335,1,0,0,old,0,
10.0.0.11,52:54:00:12:34:56,,3600,1764439935,1,0,0,pc11.example.org.,0,
10.0.0.13,52:54:00:12:34:58,,3600,1764436335,1,0,0,,0,
10.0.0.14,52:54:00:12:34:59,,3600,1764436335,1,0,0,gone,0,
10.0.0.14,52:54:00:12:34:59,,0,1764436335,1,0,0,gone,0,
10.0.0.15,52:54:00:12:34:60,,3600,1764436335,1,0,0,gone,2,
"""


@pytest.mark.parametrize("text", [DNSMASQ, ISC, KEA])
def test_leases(tmp_path: Path, text: str) -> None:
    file = tmp_path / "leases"
    file.write_text(text)
    if text is KEA:  # which cleans up
        (tmp_path / "leases.2").write_text(KEA_BEFORE)
    found = dhcp_leases.names(str(file))
    assert found.pop("2001:db8::11", "pc11") == "pc11"
    assert found == {"10.0.0.11": "pc11", "10.0.0.12": "pc12", "10.0.0.13": ""}


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "-", "a" * 64, "x.making", "1.2.3.4"])
def test_a_client_cannot_choose_a_path(tmp_path: Path, name: str) -> None:
    file = tmp_path / "leases"
    file.write_text(f"1764436335 52:54:00:12:34:56 10.0.0.11 {name} *\n")
    assert dhcp_leases.names(str(file))["10.0.0.11"] in ("", "x", "1")


def test_names_of_the_configuration() -> None:
    names = ClientNames({"10.0.0.11": "pc11", "2001:db8::11": "pc11"})
    assert [names.of(each) for each in ("10.0.0.11", "2001:db8::11", "10.0.0.12")] == [
        *("pc11", "pc11", "10.0.0.12")
    ]


def test_names_by_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_names, "_LOOK_SECONDS", 0.0)
    file = tmp_path / "leases"
    file.write_text("1 52:54:00:12:34:56 10.0.0.11 pc11 *\n1 52:54:00:12:34:57 10.0.0.12 pc12 *\n")
    recorded = {"10.0.0.11": "pc1", "10.0.0.20": "pc20"}
    names = ClientNames({"10.0.0.12": "mine"}, (str(file),), lambda: recorded)

    def found(*ends: int) -> list[str | None]:
        return [names.of(f"10.0.0.{end}") for end in ends]

    assert found(11, 12, 20, 13) == ["pc11", "mine", "pc20", None]
    # The lease of one ends, and the machine goes on; another gets the address that one had before.
    file.write_text("1 52:54:00:12:34:58 10.0.0.20 * *\n1 52:54:00:12:34:59 10.0.0.13 pc13 *\n")
    assert found(11, 12, 20, 13) == ["pc11", "mine", None, "pc13"]
    os.unlink(file)
    assert found(11, 12, 20, 13) == ["pc11", "mine", None, "pc13"]
    assert names.known("10.0.0.13") == "pc13"
