# SPDX-License-Identifier: BSD-2-Clause-Patent
# shellcheck shell=bash
#
# Packages of Debian in a folder, by an apt of its own: what cmake/setup-next.sh and
# cmake/setup-sources.sh share. To be sourced by bash, by a script that defines usage.
#
#   fail TEXT...                        say who fails and why, and exit
#   folder_arguments FOLDER ARG...      --directory, --versions, --help; sets folder and versions
#   folder_ready FORMAT TITLE           say what is there and exit, if it is there in this FORMAT
#   folder_tools ADVICE TOOL...         fail where one is missing
#   folder_begin TYPE RELEASE [LINE...] make folder.partial with an apt whose sources are of TYPE (deb
#                                       or deb-src) and of RELEASE, or of this machine's when that is
#                                       empty; LINEs of configuration; sets work, here, APT_CONFIG
#   folder_end FORMAT TITLE             take the apt away, put the folder in its place, say what is there

fail()
{
    echo "${0##*/}: $*" >&2
    exit 1
}

folder_arguments()
{
    folder=$1
    versions=no
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        --directory)
            if [ $# -lt 2 ]; then
                echo "${0##*/}: arguments: $1: its value is missing (see --help)" >&2
                exit 2
            fi
            folder=$2
            shift
            ;;
        --versions) versions=yes ;;
        --help | -h) usage; exit 0 ;;
        *)
            echo "${0##*/}: arguments: $1: unknown option (see --help)" >&2
            exit 2
            ;;
        esac
        shift
    done
    folder=$(realpath -m "$folder")
    case $folder in
    *[[:space:]:\"\'\\]*) fail "directory: $folder: has a blank, colon, quote or backslash (choose another)" ;;
    esac
}

folder_ready()
{
    if [ "$(cat "$folder/complete" 2>/dev/null)" = "$1" ]; then
        [ "$versions" = yes ] || echo "$2, in $folder:"
        cat "$folder/versions"
        exit 0
    fi
    [ "$versions" = no ] || fail "versions: $folder: nothing there (run without --versions first)"
}

folder_tools()
{
    local advice=$1 tool
    shift
    for tool in "$@"; do
        command -v "$tool" >/dev/null || fail "packages: no $tool here ($advice)"
    done
}

# No list, no status and no cache of the machine's is touched. From the machine's configuration the apt
# has the way to the network (proxies and the like), from its sources the mirror.
folder_begin()
{
    local type=$1 release=$2 sources keys=/usr/share/keyrings/debian-archive-keyring.gpg
    shift 2
    # shellcheck source=/dev/null
    here=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    work=$folder.partial
    rm -rf "$work"
    mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/apt/parts"
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
        [ $# = 0 ] || printf '%s\n' "$@"
    } >"$work/apt/apt.conf"

    # Backports are not what a release consists of. shellcheck: apt fills the variables in.
    # shellcheck disable=SC2016
    sources=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CODENAME) $(COMPONENT)' \
        'Created-By: Packages' 2>/dev/null |
        awk -v here="$here" -v wanted="${release:-$here}" '$4 == "main" {
            for (i = 2; i <= 3; i++)
                if (here != "" && ($i == here || index($i, here "-") == 1) && $i !~ /-backports/) {
                    print $1, wanted substr($i, length(here) + 1); next }
        }' | sort -u)
    [ -n "$sources" ] ||
        fail "sources: apt on this machine has no Debian source for '$here' (see /etc/apt/sources.list.d)"
    [ -r $keys ] || fail "keys: $keys: cannot be read (install debian-archive-keyring)"
    while read -r uri suite; do
        echo "$type [signed-by=$keys] $uri $suite main"
    done <<<"$sources" >"$work/apt/sources.list"
    export APT_CONFIG=$work/apt/apt.conf DEBIAN_FRONTEND=noninteractive
}

folder_end()
{
    rm -rf "$work/apt"
    echo "$1" >"$work/complete"
    rm -rf "$folder"
    mv "$work" "$folder"
    echo "$2, in $folder:"
    cat "$folder/versions"
}
