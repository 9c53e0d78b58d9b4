#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# QEMU, OVMF and kernel of the next Debian release, in a folder. See --help.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=debian-folder.sh
. "$root/cmake/debian-folder.sh"
codename=trixie
# Raised when what is unpacked, or how, changes: an older folder is then made anew.
format=1

usage()
{
    cat <<END
Usage: cmake/setup-next.sh [--directory DIRECTORY] [--versions]

Unpacks QEMU, OVMF and a cloud kernel of the next Debian release ($codename), and the libraries that
this QEMU runs with, into a folder; nothing is installed, and root is not needed. The packages come
from the mirror that this machine's apt uses, and are checked with Debian's keys.

  bin/qemu-system-x86_64   starts that QEMU with its own libraries and data, from anywhere
  OVMF.fd, OVMF_CODE_4M.fd, OVMF_VARS_4M.fd
                           the firmware, in one file for -bios and in two for flash drives
  kernel                   vmlinuz, version, lib/modules: what tests/guest/build.sh takes
  versions                 "qemu VERSION", "ovmf VERSION", "kernel VERSION"

  --directory DIRECTORY    where to (default: build/cache/next); the name must have no blanks
  --versions               only print the versions that are there

About 75 MB are fetched. Once everything is there, no network is needed and nothing is done.
Exit status: 0 ready, 1 something could not be had, 2 wrong usage.
END
}

folder_arguments "$root/build/cache/next" "$@"
folder_ready "$format" "The next release is there"
folder_tools "a Debian machine has it; unpack the packages by hand elsewhere" \
    apt-get apt-config apt-cache dpkg-deb unxz
[ "$(dpkg --print-architecture)" = amd64 ] || fail "packages: this machine is not amd64"
folder_begin deb "$codename" 'APT::Architecture "amd64";' 'APT::Architectures { "amd64"; };' \
    'APT::Install-Recommends "false";'
mkdir "$work/root"
echo "Reading the package lists of $codename"
apt-get update -qq || fail "packages: the lists of $codename could not be had (is the network up?)"
echo "Fetching QEMU with its libraries, OVMF and a kernel"
apt-get install -qq -y --download-only qemu-system-x86 ||
    fail "packages: qemu-system-x86 of $codename could not be had (see apt-get's messages above)"
kernel=$(apt-cache depends linux-image-cloud-amd64 |
    sed -n 's/^ *Depends: \(linux-image-[0-9].*-cloud-amd64\)$/\1/p' | head -n 1)
[ -n "$kernel" ] || fail "packages: linux-image-cloud-amd64: no kernel found in $codename"
mkdir "$work/apt/others"
(cd "$work/apt/others" && apt-get download -qq ovmf "$kernel") ||
    fail "packages: ovmf or $kernel could not be had (see apt-get's messages above)"
unset APT_CONFIG

echo "Unpacking"
# Without the epoch, which is Debian's own.
version_of()
{
    dpkg-deb -f "$1" Version | sed 's/^[0-9]*://'
}
for package in "$work"/apt/archives/*.deb "$work"/apt/others/ovmf_*.deb; do
    dpkg-deb -x "$package" "$work/root"
done
dpkg-deb -x "$work/apt/others/${kernel}"_*.deb "$work/kernel"
# Some releases compress the modules.
find "$work/kernel" -name '*.ko.xz' -exec unxz {} +
[ -d "$work/kernel/lib/modules" ] || ln -s usr/lib "$work/kernel/lib"
[ -d "$work/kernel/lib/modules/${kernel#linux-image-}" ] || fail "kernel: $kernel: no modules in it"
ln -s "boot/vmlinuz-${kernel#linux-image-}" "$work/kernel/vmlinuz"
[ -r "$work/kernel/vmlinuz" ] || fail "kernel: $kernel: no vmlinuz in it"
echo "${kernel#linux-image-}" >"$work/kernel/version"
touch "$work/kernel/complete"
{
    echo "qemu $(version_of "$work"/apt/archives/qemu-system-x86_*.deb)"
    echo "ovmf $(version_of "$work"/apt/others/ovmf_*.deb)"
    echo "kernel $(version_of "$work/apt/others/${kernel}"_*.deb)"
} >"$work/versions"
ln -s root/usr/share/ovmf/OVMF.fd root/usr/share/OVMF/OVMF_CODE_4M.fd \
    root/usr/share/OVMF/OVMF_VARS_4M.fd "$work/"
for file in OVMF.fd OVMF_CODE_4M.fd OVMF_VARS_4M.fd; do
    [ -r "$work/$file" ] || fail "firmware: $file: not in the package ovmf of $codename"
done

# With its own loader and libraries, which the machine's would not fit; by --library-path rather than
# by a variable, so that programs that QEMU starts do not get them.
mkdir "$work/bin"
cat >"$work/bin/qemu-system-x86_64" <<'END'
#!/bin/sh
# QEMU of another release, with that release's own loader, libraries, modules and data.
here=$(dirname "$(readlink -f "$0")")
tree=${here%/*}/root
libraries=$tree/usr/lib/x86_64-linux-gnu
QEMU_MODULE_DIR=$libraries/qemu
export QEMU_MODULE_DIR
exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" --argv0 "$0" \
    "$tree/usr/bin/qemu-system-x86_64" -L "$tree/usr/share/qemu" -L "$tree/usr/share/seabios" "$@"
END
chmod 755 "$work/bin/qemu-system-x86_64"
said=$(echo quit | "$work/bin/qemu-system-x86_64" -machine none -accel tcg -display none \
    -monitor stdio 2>&1) ||
    fail "qemu: it does not start: $said"
folder_end "$format" "The next release is there"
