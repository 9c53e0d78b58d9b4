#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Installs the Debian packages that are missing and unpacks the guest's kernel. See --help.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cache=$root/build/cache

usage()
{
    cat <<END
Usage: cmake/setup-debian.sh [--build] [--tests] [--qemu] [--kernel] [--list]

Makes a Debian 12 machine ready. Without options: everything.
  --build   what it takes to build libresume, resume.efi and resumectl; sources of the libraries that
            firmware needs its own builds of, unpacked in build/cache (cmake/setup-sources.sh)
  --tests   what the host tests take on top of that
  --qemu    QEMU, OVMF, what the Linux guest is made of, and libvirt without its services
  --kernel  a stock Debian kernel for the guest, unpacked in build/cache, never installed
  --list    only print the names of the packages

apt-get is run only when something is missing, with sudo when not root; once everything is there
no network is needed. Exit status: 0 ready, 1 something could not be had, 2 wrong usage.
END
}

build_packages=(gcc libc6-dev binutils cmake ninja-build nasm gnu-efi pkg-config python3
    libjansson-dev libyajl-dev libxxhash-dev zlib1g-dev libbearssl-dev liblz4-dev libzstd-dev libbz2-dev
    liblzma-dev dpkg-dev)
# file: for CPack, which finds out by it what is a program.
test_packages=(libcmocka-dev clang libclang-rt-dev python3-jsonschema python3-cryptography file)
# libvirt: its daemon and programs without the services, and what it has its files packed by.
qemu_packages=(qemu-system-x86 ovmf busybox-static e2fsprogs cpio gzip xz-utils gcc libc6-dev nasm
    python3 libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients bzip2 lzop)

packages=()
kernel=no
sources=no
list=no
if [ $# = 0 ]; then
    packages=("${build_packages[@]}" "${test_packages[@]}" "${qemu_packages[@]}")
    kernel=yes
    sources=yes
fi
for argument in "$@"; do
    case $argument in
    --build) packages+=("${build_packages[@]}"); sources=yes ;;
    --tests) packages+=("${test_packages[@]}") ;;
    --qemu) packages+=("${qemu_packages[@]}") ;;
    --kernel) kernel=yes ;;
    --list) list=yes ;;
    --help | -h) usage; exit 0 ;;
    *)
        echo "setup-debian.sh: arguments: $argument: unknown option (see --help)" >&2
        exit 2
        ;;
    esac
done
if [ "$list" = yes ]; then
    [ ${#packages[@]} != 0 ] || packages=("${build_packages[@]}" "${test_packages[@]}" "${qemu_packages[@]}")
    printf '%s\n' "${packages[@]}" | sort -u
    exit 0
fi

fail()
{
    echo "setup-debian.sh: $*" >&2
    exit 1
}

as_root()
{
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "packages: not root and no sudo: cannot run $* (run it as root)"
    fi
}

updated=no
update_lists()
{
    if [ "$updated" = no ]; then
        as_root apt-get update
        updated=yes
    fi
}

missing=()
for package in $(printf '%s\n' "${packages[@]}" | sort -u); do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} != 0 ]; then
    command -v apt-get >/dev/null ||
        fail "packages: ${missing[*]}: no apt-get here (install what these Debian packages hold by hand)"
    echo "Installing: ${missing[*]}"
    update_lists
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" ||
        fail "packages: ${missing[*]}: apt-get could not install them (see its messages above)"
else
    [ ${#packages[@]} = 0 ] || echo "All packages are there."
fi

# The kernel of linux-image-cloud-amd64, found by its present name and only unpacked: installing it
# would run this machine's own boot hooks.
if [ "$kernel" = yes ] && [ ! -e "$cache/kernel/complete" ]; then
    resolve()
    {
        apt-cache depends linux-image-cloud-amd64 2>/dev/null |
            sed -n 's/^ *Depends: \(linux-image-[0-9].*-cloud-amd64\)$/\1/p' | head -n 1
    }
    name=$(resolve)
    if [ -z "$name" ]; then
        update_lists
        name=$(resolve)
    fi
    [ -n "$name" ] || fail "kernel: linux-image-cloud-amd64: not known to apt (check the package sources)"
    mkdir -p "$cache/download"
    rm -rf "$cache/kernel" "$cache/kernel.partial"
    echo "Fetching $name"
    download()
    {
        # As the calling user: the download's own account could not write in here.
        (cd "$cache/download" && apt-get -o APT::Sandbox::User="$(id -un)" download "$name")
    }
    if ! download; then
        update_lists
        download || fail "kernel: $name: could not be downloaded (is the network up?)"
    fi
    package=$(find "$cache/download" -name "${name}_*.deb" | sort | tail -n 1)
    dpkg-deb -x "$package" "$cache/kernel.partial"
    ln -s boot/vmlinuz-"${name#linux-image-}" "$cache/kernel.partial/vmlinuz"
    echo "${name#linux-image-}" >"$cache/kernel.partial/version"
    touch "$cache/kernel.partial/complete"
    mv "$cache/kernel.partial" "$cache/kernel"
    rm -f "$package"
fi
if [ "$kernel" = yes ]; then
    echo "Guest kernel: $(cat "$cache/kernel/version") in $cache/kernel"
fi
if [ "$sources" = yes ]; then
    # Lists of binary packages that were never fetched name no mirror.
    [ -n "$(apt-get indextargets 'Created-By: Packages' 2>/dev/null)" ] || update_lists
    "$root/cmake/setup-sources.sh"
fi
