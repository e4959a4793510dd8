#!/bin/sh
# Fetch the kernel's package with the new system's own apt (signatures checked), without installing it: unpacking
# 400 MB of modules and making a stock initrd under emulation costs minutes, and one board needs thirty of them.
set -eu
for deb in "$1"/var/cache/apt/archives/*.deb; do dpkg-deb --show "$deb"; done > "$2/packages.txt"
cd "$2"
export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG
package=$(apt-cache depends "$3" | sed -n 's/^ *Depends: *\(linux-image-[^ :]*\).*/\1/p' | head -n 1)
apt-get download "$package"
