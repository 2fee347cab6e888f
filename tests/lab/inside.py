"""What the lab runs inside a host: faults, and what an engine of containers needs."""

# Takes memory in small processes, so that a host that needs more loses its own largest one and not the fault.
TAKE_MEMORY = """
import mmap, os, re, signal, subprocess, sys, time
leave, piece = int(sys.argv[1]) << 10, 8 << 10  # KiB
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
def available():
    return int(re.search(r"MemAvailable: +([0-9]+)", open("/proc/meminfo").read())[1])
told = False
while True:
    if available() - piece <= leave:
        told = told or subprocess.run(["systemd-notify", "--ready"], check=True)
        time.sleep(0.1)  # what others free in the meantime is taken, too
        continue
    ready, tell = os.pipe()
    if os.fork() == 0:
        taken = mmap.mmap(-1, piece << 10, flags=flags)
        os.write(tell, b"1")
        signal.pause()
    os.close(tell)
    os.read(ready, 1)
    os.close(ready)
"""

# The file system's own records take a part of what is left: the last of it is written, as far as it goes.
FILL_DISK = """
written=$(( $1 < 8 << 20 ? $1 : 8 << 20 ))
fallocate --length $(( $1 - written + 1 )) "$2" || exit
head -c $written /dev/zero >> "$2" 2> /dev/null || [ "$(df --output=avail --block-size=64K / | tail -n 1)" -lt 16 ]
"""

# libfaketime's files are in /run: PID 1 would not boot with them. Time-outs stay as long as they are. sshd starts
# anew with the library, whose shared memory its sandboxed children could not make for themselves.
SET_CLOCK = """
mkdir -p /run/lab-clock
echo "$1" > /run/lab-clock/offset
[ ! -e /run/lab-clock/preload ] || exit 0
ls /usr/lib/*/faketime/libfaketime.so.1 > /run/lab-clock/preload
ln -sf /run/lab-clock/offset /etc/faketimerc
real=FAKETIME_DONT_FAKE_MONOTONIC=1
grep -qx $real /etc/environment || echo $real >> /etc/environment
systemctl set-environment $real
ln -sf /run/lab-clock/preload /etc/ld.so.preload
systemctl reset-failed ssh
systemctl restart ssh
"""
RESET_CLOCK = """
rm -rf /etc/ld.so.preload /etc/faketimerc /run/lab-clock
touch /etc/environment
sed -i /^FAKETIME_DONT_FAKE_MONOTONIC=1$/d /etc/environment
systemctl unset-environment FAKETIME_DONT_FAKE_MONOTONIC
"""

# systemd-nspawn shows the control groups of version 1 read-only but for systemd's own.
ENGINE = """\
[Unit]
Description=Control groups for an engine of containers
Before=docker.service containerd.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for place in /sys/fs/cgroup/*/; do mount -o remount,rw,bind "$place" || true; done'

[Install]
WantedBy=multi-user.target
"""
