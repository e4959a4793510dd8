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

# What Debian's package scripts would have written; they are not run, so that nothing of this needs the board's CPU.
for name in passwd group; do cp "$root/usr/share/base-passwd/$name.master" "$root/etc/$name"; done
cp "$root/usr/share/base-files/profile" "$root/etc/profile"
cp "$root/usr/share/openssh/sshd_config" "$root/etc/ssh/sshd_config"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' > "$root/etc/nsswitch.conf"
for name in auth account password session session-noninteractive; do
    printf '%s required pam_unix.so\n' "${name%-noninteractive}" > "$root/etc/pam.d/common-$name"
done
ln -s mawk "$root/usr/bin/awk"
chmod 440 "$root/etc/sudoers"
rm -rf "$root/var/run" "$root/var/lock"
ln -s /run "$root/var/run"
ln -s /run/lock "$root/var/lock"
echo 'sshd:*:100:65534::/run/sshd:/usr/sbin/nologin' >> "$root/etc/passwd"

# The user that benchmarks log in as. Nothing needs root to measure; rebooting and powering off is all that sudo gives.
echo 'bench:*:1000:1000::/home/bench:/bin/bash' >> "$root/etc/passwd"
echo 'bench:*:1000:' >> "$root/etc/group"
cp -r "$root/etc/skel" "$root/home/bench"
chown -R 1000:1000 "$root/home/bench"
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

rm -rf "$root"/usr/share/man/* "$root"/usr/share/doc/*
