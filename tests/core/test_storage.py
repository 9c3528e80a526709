from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlib.core.disk.storage import INODELESS, DiskTraits, storage_of
from mlib.core.disk.system import file_system


def device_of(path: str) -> int:
    return os.stat(path).st_dev


def mounts() -> list[tuple[str, str]]:
    """Mount point and file system type of everything mounted here that can be looked at."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        found.append((fields.split(" ")[4], rest.split(" ")[0]))
    return found


def test_a_memory_disk_is_recognised_keeps_inodes_and_takes_several_readers() -> None:
    assert file_system(device_of("/dev/shm")) == "tmpfs"
    assert storage_of(device_of("/dev/shm")) == DiskTraits(
        readers=max(1, min(os.cpu_count() or 1, 4)), keeps_inodes=True
    )


def test_the_disk_the_tests_run_on_keeps_inodes(tmp_path: Path) -> None:
    assert file_system(device_of(str(tmp_path))) not in INODELESS
    assert storage_of(device_of(str(tmp_path))).keeps_inodes


def test_a_device_nobody_knows_is_an_ordinary_local_disk() -> None:
    unknown = os.makedev(4000, 4000)
    assert file_system(unknown) == ""
    assert storage_of(unknown) == DiskTraits(readers=max(1, min(os.cpu_count() or 1, 4)), keeps_inodes=True)


def test_every_mount_of_this_machine_has_an_answer() -> None:
    for mount_point, kind in mounts():
        try:
            device = device_of(mount_point)
        except OSError:
            continue
        storage = storage_of(device)
        assert 1 <= storage.readers <= 4
        if kind in INODELESS:
            assert not storage.keeps_inodes


@pytest.mark.parametrize("number", [0, 2**63 - 1, -1, -(2**63)])
def test_no_device_number_is_too_odd_to_ask_for(number: int) -> None:
    assert storage_of(number).readers >= 1
