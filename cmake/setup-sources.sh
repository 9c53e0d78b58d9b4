#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Sources of the libraries that firmware gets its own builds of. See --help.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
folder=$root/build/cache/sources
# Source package and the name that its folder gets here.
packages=(bearssl:bearssl lz4:lz4 libzstd:zstd)
# Raised when what is unpacked, or how, changes: an older folder is then made anew.
format=1

usage()
{
    cat <<END
Usage: cmake/setup-sources.sh [--directory DIRECTORY] [--versions]

Unpacks the Debian source packages of BearSSL, LZ4 and Zstandard, with Debian's patches, into a
folder. Firmware has no red zone, no stack protector and no SSE, so that it cannot use the archives in
the binary packages. Nothing is installed, and root is not needed. The packages are those of this
machine's own release, from the mirror that its apt uses; they are checked with Debian's keys.

  bearssl, lz4, zstd       the sources
  versions                 "PACKAGE VERSION", a line each

  --directory DIRECTORY    where to (default: build/cache/sources); the name must have no blanks
  --versions               only print the versions that are there

About 3 MB are fetched. Once everything is there, no network is needed and nothing is done.
Exit status: 0 ready, 1 something could not be had, 2 wrong usage.
END
}

fail()
{
    echo "setup-sources.sh: $*" >&2
    exit 1
}

versions=no
while [ $# -gt 0 ]; do
    case $1 in
    --directory)
        if [ $# -lt 2 ]; then
            echo "setup-sources.sh: arguments: $1: its value is missing (see --help)" >&2
            exit 2
        fi
        folder=$2
        shift
        ;;
    --versions) versions=yes ;;
    --help | -h) usage; exit 0 ;;
    *)
        echo "setup-sources.sh: arguments: $1: unknown option (see --help)" >&2
        exit 2
        ;;
    esac
    shift
done
folder=$(realpath -m "$folder")
case $folder in
*[[:space:]:\"\'\\]*) fail "directory: $folder: has a blank, colon, quote or backslash (choose another)" ;;
esac

if [ "$(cat "$folder/complete" 2>/dev/null)" = "$format" ]; then
    [ $versions = yes ] || echo "The sources are there, in $folder:"
    cat "$folder/versions"
    exit 0
fi
[ $versions = no ] || fail "versions: $folder: nothing there (run without --versions first)"

for tool in apt-get apt-config dpkg-source dpkg-parsechangelog; do
    command -v $tool >/dev/null ||
        fail "packages: no $tool here (on Debian: install dpkg-dev; elsewhere unpack the sources by hand)"
done
# shellcheck source=/dev/null
here=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")

# An apt of our own: no list, no status and no cache of the machine's is touched. From the machine's
# configuration it has the way to the network (proxies and the like), from its sources the mirror.
work=$folder.partial
rm -rf "$work"
mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/apt/parts" "$work/apt/source"
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
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
END
} >"$work/apt/apt.conf"

# shellcheck disable=SC2016 # apt fills these in
sources=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CODENAME) $(COMPONENT)' \
    'Created-By: Packages' 2>/dev/null |
    awk -v here="$here" '$4 == "main" {
        for (i = 2; i <= 3; i++)
            if (here != "" && ($i == here || index($i, here "-") == 1) && $i !~ /-backports/) {
                print $1, $i; next }
    }' | sort -u)
[ -n "$sources" ] ||
    fail "sources: apt on this machine has no Debian source for '$here' (see /etc/apt/sources.list.d)"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r $keys ] || fail "keys: $keys: cannot be read (install debian-archive-keyring)"
while read -r uri suite; do
    echo "deb-src [signed-by=$keys] $uri $suite main"
done <<<"$sources" >"$work/apt/sources.list"

export APT_CONFIG=$work/apt/apt.conf DEBIAN_FRONTEND=noninteractive
echo "Reading the lists of source packages of $here"
apt-get update -qq || fail "packages: the lists of $here could not be had (is the network up?)"
echo "Fetching the sources of BearSSL, LZ4 and Zstandard"
# apt compares the files with the signed lists; dpkg-source compares them with the .dsc once more.
(cd "$work/apt/source" && apt-get source -qq --download-only "${packages[@]%%:*}") ||
    fail "packages: the sources could not be had (see apt-get's messages above)"
unset APT_CONFIG

for package in "${packages[@]}"; do
    name=${package%%:*} short=${package##*:}
    description=$(find "$work/apt/source" -name "${name}_*.dsc" | sort | tail -n 1)
    [ -n "$description" ] || fail "packages: $name: no description was fetched"
    dpkg-source --no-check --no-copy -q -x "$description" "$work/$short" ||
        fail "packages: $name: cannot be unpacked (see the messages above)"
    echo "$short $(dpkg-parsechangelog -l "$work/$short/debian/changelog" -S Version)" >>"$work/versions"
done
[ -r "$work/bearssl/inc/bearssl.h" ] || fail "sources: bearssl: there is no inc/bearssl.h in it"
[ -r "$work/lz4/lib/lz4.c" ] || fail "sources: lz4: there is no lib/lz4.c in it"
[ -r "$work/zstd/lib/zstd.h" ] || fail "sources: zstd: there is no lib/zstd.h in it"
rm -rf "$work/apt"
echo "$format" >"$work/complete"
rm -rf "$folder"
mv "$work" "$folder"
echo "The sources are there, in $folder:"
cat "$folder/versions"
