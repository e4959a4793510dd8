#!/bin/sh
# Runs on the host with the unpacked root file system as $1: what makes it this board.
set -eu
root=$1
here=$(dirname "$0")

echo board > "$root/etc/hostname"
printf '127.0.0.1 localhost board\n' > "$root/etc/hosts"
rm -f "$root/etc/resolv.conf"
echo 'nameserver 10.0.2.3' > "$root/etc/resolv.conf"
printf '/dev/root / ext4 noatime 0 1\n' > "$root/etc/fstab"

# The user that benchmarks log in as. Nothing needs root to measure; rebooting and powering off is all that sudo gives.
chroot "$root" /usr/sbin/useradd --create-home --shell /bin/bash --uid 1000 bench
chroot "$root" /usr/sbin/usermod --password '*' bench
install -m 440 "$here/sudoers" "$root/etc/sudoers.d/bench"
install -d -m 700 -o 1000 -g 1000 "$root/home/bench/.ssh"
install -m 600 -o 1000 -g 1000 "$here/authorized_keys" "$root/home/bench/.ssh/authorized_keys"

rm -f "$root"/etc/ssh/ssh_host_*
install -m 600 "$here/ssh_host_ed25519_key" "$root/etc/ssh/ssh_host_ed25519_key"
install -m 644 "$here/ssh_host_ed25519_key.pub" "$root/etc/ssh/ssh_host_ed25519_key.pub"
install -m 644 "$here/sshd_config" "$root/etc/ssh/sshd_config.d/board.conf"

# init and the commands that talk to it
for name in init reboot poweroff halt; do ln -sf ../bin/busybox "$root/usr/sbin/$name"; done
install -m 644 "$here/inittab" "$root/etc/inittab"
install -d -m 755 "$root/etc/board"
install -m 755 "$here/rc" "$root/etc/board/rc"

date +%s > "$root/var/lib/board-clock"

rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/man/* "$root"/usr/share/doc/*
