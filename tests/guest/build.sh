#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Usage: tests/guest/build.sh KERNEL-DIRECTORY OUTPUT-DIRECTORY
#
# Builds the initramfs of the Linux guest: the workload, busybox, and the modules that a virtio-blk
# disk with ext4 takes. KERNEL-DIRECTORY is what cmake/setup-debian.sh --kernel has unpacked.
# Leaves vmlinuz and initramfs.gz in OUTPUT-DIRECTORY; does nothing when they are up to date.
set -euo pipefail

if [ $# != 2 ]; then
    sed -n 's/^# \{0,1\}//; 4,8p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
kernel=$(cd "$1" && pwd)
mkdir -p "$2"
output=$(cd "$2" && pwd)
version=$(cat "$kernel/version")

if [ "$output/initramfs.gz" -nt "$here/workload.c" ] && [ "$output/initramfs.gz" -nt "$here/init" ] &&
    [ "$output/initramfs.gz" -nt "$0" ] && [ "$output/initramfs.gz" -nt "$kernel/complete" ]; then
    echo "initramfs: up to date"
    exit 0
fi

tree=$output/initramfs
rm -rf "$tree" "$output/initramfs.gz"
mkdir -p "$tree/bin" "$tree/dev" "$tree/lib/modules"

gcc -static -O2 -std=gnu11 -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Werror \
    -o "$tree/bin/workload" "$here/workload.c"
install -m 755 "$(command -v busybox)" "$tree/bin/busybox"
install -m 755 "$here/init" "$tree/init"

# The modules and all that they depend on, each after its dependencies. The kernel package has no
# modules.dep (it is made at installation), so make one.
modules=$kernel/lib/modules/$version
[ -s "$modules/modules.dep" ] || busybox depmod -b "$kernel" "$version"
declare -A listed
pending="crc32c_generic virtio_pci virtio_blk ext4"
for wanted in $pending; do
    # The names that this one leads to, nearest first, until no new ones come.
    names=$wanted chain='' rounds=0
    while [ -n "$names" ] && [ $rounds -lt 16 ]; do
        next=''
        for name in $names; do
            file=$(awk -F: -v name="$name.ko" '{ n = split($1, part, "/") }
                part[n] == name { print $1; exit }' "$modules/modules.dep")
            if [ -z "$file" ]; then
                # Built into this kernel, or not needed by it.
                continue
            fi
            chain="$file $chain"
            for file in $(awk -F: -v file="$file" '$1 == file { print $2; exit }' \
                "$modules/modules.dep"); do
                file=${file##*/}
                next="$next ${file%.ko}"
            done
        done
        names=$next
        rounds=$((rounds + 1))
    done
    for file in $chain; do
        if [ -z "${listed[$file]:-}" ]; then
            listed[$file]=yes
            install -m 644 "$modules/$file" "$tree/lib/modules/"
            echo "${file##*/}" >>"$tree/lib/modules/order"
        fi
    done
done

(cd "$tree" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc --quiet) | gzip -9n \
    >"$output/initramfs.gz.partial"
install -m 644 "$(readlink -f "$kernel/vmlinuz")" "$output/vmlinuz"
mv "$output/initramfs.gz.partial" "$output/initramfs.gz"
rm -rf "$tree"
echo "initramfs: built for Linux $version"
