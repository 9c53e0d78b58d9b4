#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Usage: tests/guest/build.sh KERNEL-DIRECTORY OUTPUT-DIRECTORY
#
# Builds the initramfs of the Linux guest: the workload, the programs that use one piece of state
# each, busybox, and the modules that a virtio-blk disk with ext4 takes. KERNEL-DIRECTORY is what
# cmake/setup-debian.sh --kernel or cmake/setup-next.sh has unpacked; modules may be compressed with xz.
# Leaves vmlinuz and initramfs.gz in OUTPUT-DIRECTORY; does nothing when they are up to date.
set -euo pipefail

if [ $# != 2 ]; then
    sed -n 's/^# \{0,1\}//; 4,9p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
kernel=$(cd "$1" && pwd)
mkdir -p "$2"
output=$(cd "$2" && pwd)
version=$(cat "$kernel/version")

if [ -e "$output/initramfs.gz" ] &&
    [ -z "$(find "$here" "$kernel/complete" -newer "$output/initramfs.gz" -type f)" ]; then
    echo "initramfs: up to date"
    exit 0
fi

tree=$output/initramfs
rm -rf "$tree" "$output/initramfs.gz"
mkdir -p "$tree/bin" "$tree/dev" "$tree/lib/modules"

compile()
{
    gcc -static -O2 -std=gnu11 -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Werror "$@"
}
compile -o "$tree/bin/workload" "$here/workload.c"
# Some of them push and pop in inline assembly: no red zone.
compile -mno-red-zone -pthread -o "$tree/bin/pieces" "$here"/pieces/*.c
nasm -f elf32 -Werror -o "$output/compat.o" "$here/compat.nasm"
ld -m elf_i386 -o "$tree/bin/compat" "$output/compat.o"
strip "$tree/bin/workload" "$tree/bin/pieces" "$tree/bin/compat"
rm "$output/compat.o"
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
            file=$(awk -F: -v name="$name.ko" '{ n = split($1, part, "/"); sub(/\.xz$/, "", part[n]) }
                part[n] == name { print $1; exit }' "$modules/modules.dep")
            if [ -z "$file" ]; then
                # Built into this kernel, or not needed by it.
                continue
            fi
            chain="$file $chain"
            for file in $(awk -F: -v file="$file" '$1 == file { print $2; exit }' \
                "$modules/modules.dep"); do
                file=${file##*/}
                file=${file%.xz}
                next="$next ${file%.ko}"
            done
        done
        names=$next
        rounds=$((rounds + 1))
    done
    for file in $chain; do
        if [ -z "${listed[$file]:-}" ]; then
            listed[$file]=yes
            name=${file##*/}
            case $name in
            *.xz) name=${name%.xz}; unxz -c "$modules/$file" >"$tree/lib/modules/$name" ;;
            *) install -m 644 "$modules/$file" "$tree/lib/modules/$name" ;;
            esac
            echo "$name" >>"$tree/lib/modules/order"
        fi
    done
done

(cd "$tree" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc --quiet) | gzip -9n \
    >"$output/initramfs.gz.partial"
install -m 644 "$(readlink -f "$kernel/vmlinuz")" "$output/vmlinuz"
mv "$output/initramfs.gz.partial" "$output/initramfs.gz"
rm -rf "$tree"
echo "initramfs: built for Linux $version"
