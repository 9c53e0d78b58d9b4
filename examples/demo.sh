#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# The main job, from a fresh clone: a running Linux is snapshotted and resumed through UEFI
# firmware. See --help.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
# shellcheck source-path=SCRIPTDIR source=../cmake/steps.sh
. cmake/steps.sh

usage()
{
    cat <<END
Usage: examples/demo.sh [--smp N] [--ram SIZE] [--cpu MODEL] [--machine TYPE] [--next] [--keep]
                        [--sealed [--compress lz4|zstd|none]]

Boots a stock Debian kernel under stock QEMU and stock OVMF, lets a workload run on each of its CPUs,
snapshots it while it runs, ends that VM, boots OVMF again with resume.efi, and on every CPU the same
Linux goes on with its next instruction. Installs what is missing (Debian packages, with sudo when not root) and
builds what it needs. Takes less than 3 minutes on two cores without KVM, the first download aside;
a second run needs no network.

  --smp N         CPUs of the VM (default 2)
  --ram SIZE      RAM of the VM (default 512M)
  --cpu MODEL     CPU model, as for qemu-system-x86_64 -cpu (default: Haswell as far as QEMU has it)
  --machine TYPE  q35 (default) or pc
  --next          with QEMU, OVMF and kernel of the next Debian release, which are unpacked in
                  build/cache/next, not installed
  --keep          keep the snapshot, the disk and the logs in build/demo and say how to use them
  --sealed        seal the snapshot with a new key, remove it, and resume from the sealed image: the
                  hypervisor is not given the guest's memory, the firmware reads it from a disk
  --compress      how the image is compressed (default: lz4)

Exit status: 0 the guest went on as if nothing had happened, 1 it did not, 2 wrong usage.
END
}

smp=2
ram=512M
# Without those features that QEMU's TCG would only warn about.
cpu=Haswell,-pcid,-x2apic,-tsc-deadline,-hle,-invpcid,-rtm
machine=q35
next=no
keep=no
sealed=no
compress=lz4
while [ $# -gt 0 ]; do
    case $1 in
    --smp | --ram | --cpu | --machine | --compress)
        if [ $# -lt 2 ]; then
            echo "demo.sh: arguments: $1: its value is missing (see --help)" >&2
            exit 2
        fi
        case $1 in
        --smp) smp=$2 ;;
        --ram) ram=$2 ;;
        --cpu) cpu=$2 ;;
        --machine) machine=$2 ;;
        --compress) compress=$2 ;;
        esac
        shift
        ;;
    --next) next=yes ;;
    --keep) keep=yes ;;
    --sealed) sealed=yes ;;
    --help | -h) usage; exit 0 ;;
    *)
        echo "demo.sh: arguments: $1: unknown option (see --help)" >&2
        exit 2
        ;;
    esac
    shift
done

case $smp in
'' | 0 | *[!0-9]*)
    echo "demo.sh: arguments: --smp $smp: not a number of CPUs (see --help)" >&2
    exit 2
    ;;
esac
case $compress in
lz4 | zstd | none) ;;
*)
    echo "demo.sh: arguments: --compress $compress: none of lz4, zstd, none (see --help)" >&2
    exit 2
    ;;
esac
qemu='qemu-system-x86_64'
bios=/usr/share/ovmf/OVMF.fd
kernel=build/cache/kernel
guest=build/guest
if [ $next = yes ]; then
    qemu=$root/build/cache/next/bin/qemu-system-x86_64
    bios=$root/build/cache/next/OVMF.fd
    kernel=build/cache/next/kernel
    guest=build/guest-next
fi

demo=$root/build/demo
build=$root/build/release
resumectl=$build/tools/resumectl
snapshot=$demo/snapshot
image=$demo/vm.rsm
key=$demo/key
console=$demo/console.log
mkdir -p "$demo"
rm -rf "$snapshot" "$snapshot.partial" "$image" "$image.partial" "$key" "$console"
sockets=$(mktemp -d /tmp/resume-demo-XXXXXX) # socket paths have to be short
steps_init "$demo/logs"
began=$(steps_now)
vm=''

tidy()
{
    if [ -n "$vm" ] && kill -0 "$vm" 2>/dev/null; then
        kill "$vm" 2>/dev/null
        wait "$vm" 2>/dev/null
    fi
    rm -rf "$sockets"
    [ $keep = yes ] || rm -rf "$snapshot" "$snapshot.partial" "$image" "$image.partial" "$key" \
        "$demo"/disk*.img
}
trap tidy EXIT
trap 'exit 130' INT TERM

give_up()
{
    echo
    echo "${steps_red}The demo has failed: $1${steps_plain}"
    echo "Logs: $demo/logs, the guest's console: $console"
    exit 1
}

# wait_line PATTERN COUNT FROM SECONDS - until the console, from byte FROM on, has COUNT lines that
# match PATTERN; fails when the VM ends before, or the time is up.
wait_line()
{
    local found
    found=$(timeout "$4" tail -c "+$(($3 + 1))" -F --pid="$vm" "$console" 2>/dev/null |
        grep -a -c -m "$2" -E "$1")
    [ "$found" = "$2" ]
}

# The last whole line of the workload.
last_line()
{
    grep -a '^workload: line .*ticks=[0-9]*$' "$console" | tail -n 1
}

# wait_cpus COUNT FROM SECONDS - until the program on each CPU has written COUNT lines from FROM on.
wait_cpus()
{
    local cpu
    for ((cpu = 0; cpu < smp; cpu++)); do
        wait_line "^cpu$cpu: line " "$1" "$2" "$3" || return
    done
}

# What each CPU was at, in a snapshot.
cpu_modes()
{
    "$resumectl" inspect --json --registers "$snapshot" | PYTHONPATH=$root/tests/qemu python3 -B -c '
import json, sys
from snapshots import modes_of
names = {"user": "in user mode", "kernel": "in the kernel", "idle": "halted", "dormant": "never started"}
print(", ".join(f"CPU {number} {names[mode]}"
                for number, mode in enumerate(modes_of(json.load(sys.stdin)))))'
}

qmp_quit()
{
    python3 - "$1" <<'END'
import json, socket, sys
monitor = socket.socket(socket.AF_UNIX)
monitor.settimeout(20)
monitor.connect(sys.argv[1])
lines = monitor.makefile("r")
lines.readline()
for command in ("qmp_capabilities", "quit"):
    monitor.sendall(json.dumps({"execute": command}).encode())
    while "return" not in json.loads(lines.readline() or '{"return": 0}'):
        pass
END
}

# The command line of the VM; the resume is given the very same one.
command=("$qemu" -machine "$machine" -accel tcg -cpu "$cpu" -m "$ram" -smp "$smp"
    -bios "$bios" -display none -nic none -no-reboot
    -kernel "$guest/vmlinuz" -initrd "$guest/initramfs.gz"
    -append "console=ttyS0 quiet programs=cpus no_timer_check patience=$((4 + smp))"
    -drive "if=virtio,format=raw,file=$demo/disk.img"
    -chardev "file,id=console,path=$console,append=on" -serial chardev:console
    -qmp "unix:$sockets/qmp,server=on,wait=off")

build_all()
{
    cmake --preset release && cmake --build --preset release
}

make_disk()
{
    rm -f "$demo/disk.img"
    mke2fs -q -t ext4 -F "$demo/disk.img" 64M
}

title "Get ready"
step "Install what is missing, fetch a Debian kernel" 60 \
    cmake/setup-debian.sh --build --qemu --kernel || give_up "the setup did not work"
if [ $next = yes ]; then
    step "Unpack QEMU, OVMF and kernel of the next release" 30 cmake/setup-next.sh ||
        give_up "the next release could not be had"
fi
step "Build libresume, resume.efi and resumectl" 20 build_all || give_up "the build did not work"
step "Build the guest's initramfs" 3 tests/guest/build.sh "$kernel" "$guest" ||
    give_up "the guest could not be built"
step "Make an ext4 disk" 1 make_disk || give_up "the disk could not be made"

title "The source VM"
: >"$console"
"${command[@]}" >"$demo/logs/source.log" 2>&1 &
vm=$!
cpus="$smp CPUs"
[ "$smp" != 1 ] || cpus="1 CPU"
step "Boot OVMF, then Linux $(cat "$kernel/version") on $cpus" 20 \
    wait_line '^workload: line 1 ' 1 0 120 || give_up "the source did not boot"
workload_runs()
{
    wait_line '^workload: line 10 ' 1 0 $((60 * smp)) && wait_cpus 3 0 $((60 * smp))
}
step "Let the workload run: SSE, AVX and x87 sums on each CPU, a file on the disk, timer ticks" 4 \
    workload_runs || give_up "the workload does not run"

title "The snapshot"
if ! "$resumectl" snapshot --qmp "$sockets/qmp" -o "$snapshot" --quit 2>&1; then
    give_up "the snapshot could not be taken"
fi
step "Wait for the end of the source VM" 1 timeout 20 tail --pid="$vm" -f /dev/null ||
    give_up "the source VM is still there"
wait "$vm" 2>/dev/null
vm=''
[ $keep = no ] || cp --sparse=always "$demo/disk.img" "$demo/disk-at-snapshot.img" ||
    give_up "the disk could not be kept"
cut=$(stat -c %s "$console")
before=$(last_line)
say "The last line before the snapshot: $before"
"$resumectl" inspect "$snapshot" >"$demo/logs/inspect.log" 2>&1 ||
    give_up "the snapshot could not be inspected: see $demo/logs/inspect.log"
say "What it holds: see $demo/logs/inspect.log"
say "Stopped with $(cpu_modes)"

make_key()
{
    (umask 077 && head -c 32 /dev/urandom >"$key")
}

# seal - the image takes the place of the snapshot. Sets `resume` to what it is resumed with.
seal()
{
    title "The seal"
    step "Make a key of 32 random bytes" 1 make_key || give_up "there are no random bytes"
    local identity
    identity=$("$resumectl" seal "$snapshot" --key "$key" --compress "$compress" -o "$image") ||
        give_up "the snapshot could not be sealed"
    identity=${identity#identity }
    say "Its identity: $identity"
    "$resumectl" open "$image" --key "$key" --expect-identity "$identity" >"$demo/logs/open.log" ||
        give_up "the image could not be verified"
    say "All of it was read back and verified: see $demo/logs/open.log"
    rm -rf "$snapshot"
    say "The snapshot is removed: from here on there is the image, and the key."
    resume=("$image" --key "$key" --expect-identity "$identity")
}

resume=("$snapshot")
[ $sealed = no ] || seal

title "The resume"
resume+=(--verify --json "$demo/ledger.json" --timing "$demo/timing.json" -- "${command[@]}")
if [ $sealed = yes ]; then
    # Into a pipe it prints whole lines, between which the firmware's console can be shown.
    mkdir "$sockets/tmp"
    TMPDIR=$sockets/tmp "$resumectl" resume "${resume[@]}" > >(cat) 2>&1 &
    vm=$!
    python3 -B examples/uefi_console.py "$sockets/tmp" "$vm"
else
    "$resumectl" resume "${resume[@]}" 2>&1 &
    vm=$!
fi
if ! wait_line '^workload: line ' 12 "$cut" $((180 * smp)) || ! wait_cpus 3 "$cut" $((60 * smp)); then
    wait "$vm" && give_up "the guest did not go on"
    give_up "resumectl resume ended with status $?"
fi
number=${before#workload: line }
number=${number%% *}
after=$(grep -a "^workload: line $((number + 1)) " "$console" | head -n 1)
echo
say "The last line before the snapshot: $before"
say "The first line after the resume:   ${after:-(none)}"

step "End the VM" 1 qmp_quit "$sockets/qmp" || give_up "the resumed VM could not be ended"
wait "$vm"
code=$?
vm=''

title "What was proven"
problems=$(
    # Each line is there once and whole, and follows on the one before of the same program.
    grep -aE '(workload|cpu[0-9]+): line' "$console" | sed -E 's/^.*((workload|cpu[0-9]+): line)/\1/' |
        sed '$ { /ticks=[0-9]*$/!d }' |
        awk '{ if (!/^[a-z0-9]+: line [0-9]+ sse=ok avx=(ok|none) disk=(ok|none) ticks=[0-9]+$/)
                   print "not as it should be: " $0
               if ($3 != ++expected[$1]) {
                   print $1 " line " $3 " where " expected[$1] " was due"; expected[$1] = $3 } }'
    grep -a 'WRONG' "$console"
    tail -c "+$((cut + 1))" "$console" |
        grep -aE '^kernel: [0-4] |^kernel: .*(BUG|WARNING|stall|clocksource)|^\[ *[0-9]+\.[0-9]+\] ' |
        # Said on a busy machine; of two clocks that agree to a thousandth.
        awk '/hrtimer: interrupt took|clocksource: .* read-back delay of/ { next }
             /clocksource: Long readout interval/ {
                 apart = $(NF - 2) - $NF
                 if (apart < 0) apart = -apart
                 if (apart * 1000 < $NF) next }
             { print }'
)
all='^(workload|cpu[0-9]+): line .*ticks=[0-9]*$'
lines=$(grep -acE "$all" "$console")
written=$(head -c "$cut" "$console" | grep -acE "$all")
[ "$code" = 0 ] || problems="$problems
resumectl resume ended with status $code"
[ -n "$after" ] || problems="$problems
line $((number + 1)) is missing"
if [ -n "${problems//[[:space:]]/}" ]; then
    echo "$problems" | sed '/^[[:space:]]*$/d; s/^/      /'
    give_up "the guest did not go on as if nothing had happened"
fi
good="${steps_green}ok${steps_plain}"
echo "  $good  An unpatched Debian kernel, KASLR on, went on under unpatched QEMU and OVMF, on $cpus."
echo "  $good  Its programs wrote $written lines before the snapshot and $((lines - written)) after it:"
echo "      none lost, none doubled, no sum wrong, no complaint of the kernel."
if [ $sealed = yes ]; then
    echo "  $good  Its memory went through the host as $(($(stat -c %s "$image") >> 20)) MiB that only the key opens, and was put back"
    echo "      by its own firmware. (The host had the key here, for --verify and as a fw_cfg file; a"
    echo "      confidential guest gets it as a launch secret: docs/THREATS.md.)"
fi
python3 - "$demo/ledger.json" <<'END' || give_up "the verification's ledger cannot be read"
import json, os, sys
ok = "\033[32mok\033[0m" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else "ok"
with open(sys.argv[1], encoding="utf-8") as file:
    ledger = json.load(file)
cpu, devices, pages = ledger["cpu_fields"], ledger["device_fields"], ledger["pages"]
read_back = [vcpu for vcpu in ledger["read_back"]["vcpus"] if vcpu["active"]]
if read_back:
    print(f"  {ok}  Each CPU read back what it had restored before it entered Linux:")
    for vcpu in read_back:
        print(f"      CPU {vcpu['vcpu']}    {vcpu['exact']} fields exact, {vcpu['different']} different")
print(f"  {ok}  Stopped before it ran on, and compared with the snapshot from outside:")
print(f"      CPU      {cpu['identical']} fields identical, {cpu['explained']} differ for a known reason,"
      f" {cpu['unexpected']} unexpectedly")
print(f"      devices  {devices['identical']} fields identical, {devices['explained']} differ for a known"
      f" reason, {devices['unexpected']} unexpectedly")
print(f"      RAM      {pages['identical']} of {pages['total']} pages identical;"
      f" {pages['home_bytes']} bytes differ, in the kernel's own padding")
END
echo
echo "The same Linux went on with its next instruction on each CPU. All of it took $(steps_time $(($(steps_now) - began)))."
if [ $keep = yes ]; then
    what=$snapshot
    options=()
    if [ $sealed = yes ]; then
        what=$image
        options=(--key "$key")
    fi
    echo
    echo "Kept: $what, and the disk as it was then. Look at it, or resume it again (console in"
    echo "$console; the guest needs its disk as it was at the snapshot):"
    [ $sealed = yes ] || echo "  $resumectl inspect $what"
    [ $sealed = no ] || echo "  $resumectl open $what ${options[*]}"
    echo "  cp $demo/disk-at-snapshot.img $demo/disk.img"
    echo "  $resumectl resume $what ${options[*]} -- ${command[*]@Q}" | sed "s|unix:$sockets/|unix:$demo/|"
fi
