# SPDX-License-Identifier: BSD-2-Clause-Patent
# shellcheck shell=bash
#
# Steps with their time, for the scripts of this project. To be sourced by bash.
#
#   steps_init LOG-DIRECTORY            call once; output of the steps goes to files in there
#   step TITLE SECONDS COMMAND...       run COMMAND, show how long it took; SECONDS is a first
#                                       guess for the bar, later runs use the time measured here
#   say TEXT                            a line that belongs to the step above
#   title TEXT                          a heading
#
# On a terminal a step that takes more than a second has a progress bar; into a pipe there is one
# plain line when it starts and one when it has ended. NO_COLOR is respected.

# mke2fs lies where an ordinary user's shell does not look.
PATH=$PATH:/usr/sbin:/sbin

steps_init()
{
    steps_dir=$1
    steps_number=0
    mkdir -p "$steps_dir"
    steps_terminal=no
    steps_bold='' steps_green='' steps_red='' steps_dim='' steps_plain=''
    if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then
        steps_terminal=yes
        if [ -z "${NO_COLOR:-}" ]; then
            steps_bold=$'\e[1m' steps_green=$'\e[32m' steps_red=$'\e[31m'
            steps_dim=$'\e[2m' steps_plain=$'\e[0m'
        fi
    fi
}

title()
{
    printf '\n%s%s%s\n' "$steps_bold" "$1" "$steps_plain"
}

say()
{
    printf '      %s\n' "$1"
}

# Milliseconds since some fixed instant.
steps_now()
{
    local now=${EPOCHREALTIME/[.,]/}
    printf '%s' "${now%???}"
}

# steps_time MILLISECONDS - as seconds with one decimal.
steps_time()
{
    printf '%d.%d s' $(($1 / 1000)) $(($1 % 1000 / 100))
}

# steps_fraction LOG ELAPSED EXPECTED - how far a step is, in percent. A build tool that prints
# [done/all] is believed; anything else is measured against the time it took before.
steps_fraction()
{
    local last
    last=$(tail -c 400 "$1" 2>/dev/null | tr '\r' '\n' | grep -oE '\[[0-9]+/[0-9]+\]' | tail -n 1)
    if [[ $last =~ ^\[([0-9]+)/([0-9]+)\]$ ]] && [ "${BASH_REMATCH[2]}" -gt 0 ]; then
        printf '%d' $((BASH_REMATCH[1] * 100 / BASH_REMATCH[2]))
    elif [ "$2" -lt "$3" ]; then
        printf '%d' $(($2 * 95 / $3))
    else
        printf '95'
    fi
}

# steps_bar TITLE LOG BEGAN EXPECTED - draws the bar until it is killed, or its parent has ended.
steps_bar()
{
    local elapsed percent bar
    trap - EXIT
    while sleep 0.2 && kill -0 $$ 2>/dev/null; do
        elapsed=$(($(steps_now) - $3))
        if [ "$elapsed" -ge 1000 ]; then
            percent=$(steps_fraction "$2" "$elapsed" "$4")
            printf -v bar '%*s' $((percent / 5)) ''
            printf '\r\e[K%3d.  %s  %s[%-20s] %s%s' "$steps_number" "$1" "$steps_dim" \
                "${bar// /#}" "$(steps_time "$elapsed")" "$steps_plain"
        fi
    done
}

step()
{
    local what=$1 expected=$(($2 * 1000)) began elapsed code log remembered bar
    shift 2
    steps_number=$((steps_number + 1))
    log=$steps_dir/$(printf '%02d' "$steps_number")-${what//[^A-Za-z0-9]/-}.log
    remembered=$steps_dir/.time-${what//[^A-Za-z0-9]/-}
    if [ -s "$remembered" ]; then
        read -r expected <"$remembered"
    fi
    [ "$expected" -gt 0 ] || expected=1000
    began=$(steps_now)
    if [ "$steps_terminal" = no ]; then
        printf '%3d.  %s ...\n' "$steps_number" "$what"
        "$@" >"$log" 2>&1
        code=$?
    else
        printf '%3d.  %s' "$steps_number" "$what"
        steps_bar "$what" "$log" "$began" "$expected" &
        bar=$!
        # In the foreground, so that Ctrl-C reaches it.
        "$@" >"$log" 2>&1
        code=$?
        kill "$bar" 2>/dev/null
        wait "$bar" 2>/dev/null
        printf '\r\e[K'
    fi
    elapsed=$(($(steps_now) - began))
    if [ "$code" = 0 ]; then
        printf '%s\n' "$elapsed" >"$remembered"
        printf '%3d.  %s  %sdone%s  (%s)\n' "$steps_number" "$what" "$steps_green" \
            "$steps_plain" "$(steps_time "$elapsed")"
    else
        printf '%3d.  %s  %sfailed%s  (exit status %d after %s)\n' "$steps_number" "$what" \
            "$steps_red" "$steps_plain" "$code" "$(steps_time "$elapsed")"
        printf '      The last lines of %s:\n' "$log"
        tail -n 25 "$log" | sed 's/^/      | /'
    fi
    return "$code"
}
