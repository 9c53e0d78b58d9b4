#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Sources of the libraries that firmware gets its own builds of. See --help.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=debian-folder.sh
. "$root/cmake/debian-folder.sh"
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

folder_arguments "$root/build/cache/sources" "$@"
folder_ready "$format" "The sources are there"
folder_tools "on Debian: install dpkg-dev; elsewhere unpack the sources by hand" \
    apt-get apt-config dpkg-source dpkg-parsechangelog
folder_begin deb-src ""
mkdir "$work/apt/source"
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
folder_end "$format" "The sources are there"
