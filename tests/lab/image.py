"""What an arm64 virtual machine boots: Debian's cloud kernel, and a disk made of the arm64 root file system."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from . import rootfs
from .errors import LabError, run
from .registries import Registries
from .state import locked

ARCH = "arm64"
DISK, KERNEL, INITRD = "disk.img", "vmlinuz", "initrd.img"
SIZE = 2048  # MiB; a host's own copy grows to the size of its disk
# Mounts are made in a namespace of their own, and go with it. The initial RAM disk has no more than it takes to mount
# the root, and is made once: with all drivers it takes minutes under qemu-user, each time.
BUILD = r"""
set -e
root=$2/root
cp -a "$1" "$root"
cp -L /etc/resolv.conf "$root"/etc/resolv.conf
mount -t proc proc "$root"/proc
mount -t sysfs -o ro sysfs "$root"/sys
mount --bind /dev "$root"/dev
export DEBIAN_FRONTEND=noninteractive
tools=$root/etc/initramfs-tools
mkdir -p "$tools"/conf.d "$root"/usr/share/initramfs-tools/modules.d
echo MODULES=list > "$tools"/conf.d/lab
printf '%s\n' virtio_pci virtio_blk ext4 crc32c_generic > "$root"/usr/share/initramfs-tools/modules.d/lab
chroot "$root" apt-get update -q -o Acquire::Languages=none
INITRD=No chroot "$root" apt-get install -y -q --no-install-recommends \
  initramfs-tools linux-image-cloud-arm64 systemd-timesyncd zstd
chroot "$root" apt-get clean
chroot "$root" systemctl --quiet mask e2scrub_reap.service
chroot "$root" update-initramfs -c -k "$(ls "$root"/lib/modules)"
umount "$root"/dev "$root"/sys "$root"/proc
rm -rf "$root"/etc/resolv.conf "$root"/var/lib/apt/lists/*_*
cp -L "$root"/vmlinuz "$2"/vmlinuz
cp "$root"/boot/initrd.img-* "$2"/initrd.img
truncate -s "$3"M "$2"/disk.img
mkfs.ext4 -q -F -m 0 -d "$root" "$2"/disk.img
rm -rf --one-file-system "$root"
"""


def path(system: str, registries: Registries) -> Path:
    """Return the folder of the image of these ingredients, or where it would be."""
    base = rootfs.path(system, ARCH, registries).name
    key = hashlib.sha256(f"{base}{BUILD}{SIZE}".encode()).hexdigest()[:12]
    return rootfs.cache_folder() / f"vm-{system}-{ARCH}-{key}"


def ensure(system: str, registries: Registries) -> Path:
    """Return the image's folder, building it where the cache has none; arm64 programs must run here then.

    Raises:
        LabError: the build failed; its last line is in the message, all of them in a log in the cache.
    """
    place = path(system, registries)
    with locked(place.with_name(place.name + ".lock"), wait=True):
        if not place.is_dir():
            base = rootfs.ensure(system, ARCH, registries)
            partial = place.with_name(place.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            words: list[str | Path] = ["unshare", "--mount", "/bin/sh", "-c", BUILD, "sh", base, partial, str(SIZE)]
            done = run(words, check=False)
            log = place.with_name(place.name + ".log")
            log.write_text(done.stdout + done.stderr, encoding="utf-8")
            if done.returncode:
                shutil.rmtree(partial, ignore_errors=True)
                last = (done.stderr.strip() or "no output").splitlines()[-1]
                raise LabError(f"the image of the virtual machine could not be built ({log}): {last}")
            partial.rename(place)
    return place
