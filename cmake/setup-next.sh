#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# QEMU, OVMF and kernel of the next Debian release, in a folder. See --help.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
next=$root/build/cache/next
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

fail()
{
    echo "setup-next.sh: $*" >&2
    exit 1
}

versions=no
while [ $# -gt 0 ]; do
    case $1 in
    --directory)
        if [ $# -lt 2 ]; then
            echo "setup-next.sh: arguments: $1: its value is missing (see --help)" >&2
            exit 2
        fi
        next=$2
        shift
        ;;
    --versions) versions=yes ;;
    --help | -h) usage; exit 0 ;;
    *)
        echo "setup-next.sh: arguments: $1: unknown option (see --help)" >&2
        exit 2
        ;;
    esac
    shift
done
next=$(realpath -m "$next")
case $next in
*[[:space:]:\"\'\\]*) fail "directory: $next: has a blank, colon, quote or backslash (choose another)" ;;
esac

if [ "$(cat "$next/complete" 2>/dev/null)" = "$format" ]; then
    [ $versions = yes ] || echo "The next release is there, in $next:"
    cat "$next/versions"
    exit 0
fi
[ $versions = no ] || fail "versions: $next: nothing there (run without --versions first)"

for tool in apt-get apt-config apt-cache dpkg-deb unxz; do
    command -v $tool >/dev/null ||
        fail "packages: no $tool here (a Debian machine has it; unpack the packages by hand elsewhere)"
done
[ "$(dpkg --print-architecture)" = amd64 ] || fail "packages: this machine is not amd64"
# shellcheck source=/dev/null
here=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")

# An apt of our own: no list, no status and no cache of the machine's is touched. From the machine's
# configuration it has the way to the network (proxies and the like), from its sources the mirror.
work=$next.partial
rm -rf "$work"
mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/apt/parts" "$work/root"
: >"$work/apt/status"
{
    apt-config dump | grep '^Acquire::' || true
    cat <<END
Dir::Etc::main "/dev/null";
Dir::Etc::parts "$work/apt/parts";
Dir::Etc::sourcelist "$work/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "$work/apt/parts";
Dir::State "$work/apt";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt";
Dir::Log "$work/apt";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
END
} >"$work/apt/apt.conf"

# shellcheck disable=SC2016 # apt fills these in
sources=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CODENAME) $(COMPONENT)' \
    'Created-By: Packages' 2>/dev/null |
    awk -v here="$here" -v next_release="$codename" '$4 == "main" {
        for (i = 2; i <= 3; i++)
            if (here != "" && ($i == here || index($i, here "-") == 1)) {
                print $1, next_release substr($i, length(here) + 1); next }
    }' | sort -u)
[ -n "$sources" ] ||
    fail "sources: apt on this machine has no Debian source for '$here' (see /etc/apt/sources.list.d)"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r $keys ] || fail "keys: $keys: cannot be read (install debian-archive-keyring)"
while read -r uri suite; do
    echo "deb [signed-by=$keys] $uri $suite main"
done <<<"$sources" >"$work/apt/sources.list"

export APT_CONFIG=$work/apt/apt.conf DEBIAN_FRONTEND=noninteractive
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
rm -rf "$work/apt"
said=$(echo quit | "$work/bin/qemu-system-x86_64" -machine none -accel tcg -display none \
    -monitor stdio 2>&1) ||
    fail "qemu: it does not start: $said"
echo "$format" >"$work/complete"
rm -rf "$next"
mv "$work" "$next"
echo "The next release is there, in $next:"
cat "$next/versions"
