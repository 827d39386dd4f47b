import pytest

from maestro_storage._ownership import network_kind

MOUNTINFO = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:30 / /mnt/net rw - nfs4 server:/export rw
31 22 0:31 / /mnt/net/local rw - tmpfs tmpfs rw
32 22 0:32 / /mnt/with\\040space rw,relatime - fuse.sshfs host:/ rw
33 22 0:33 / /mnt/twice rw - ext4 /dev/vdb rw
34 33 0:34 / /mnt/twice rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/maestro/state", None),
        ("/mnt/net", "nfs4"),
        ("/mnt/net/state", "nfs4"),
        ("/mnt/network", None),
        ("/mnt/net/local/state", None),
        ("/mnt/with space/state", "fuse.sshfs"),
        ("/mnt/twice/state", "cifs"),
    ],
)
def test_the_innermost_mount_decides(path: str, kind: str | None) -> None:
    assert network_kind(path, MOUNTINFO) == kind


@pytest.mark.parametrize(
    "kind",
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "fuse.ceph", "fuse.glusterfs", "lustre"],
)
def test_network_file_systems_are_recognised(kind: str) -> None:
    assert network_kind("/state", f"1 0 0:1 / / rw - {kind} source rw\n") == kind


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs"])
def test_local_file_systems_are_not(kind: str) -> None:
    assert network_kind("/state", f"1 0 0:1 / / rw - {kind} source rw\n") is None
