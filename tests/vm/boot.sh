#!/bin/bash
# boot.sh IMAGE PAYLOAD SECONDS: boots the virtual machine that image.sh made in IMAGE, emulated, with the directory PAYLOAD as
# /mnt/payload, runs its run.sh there as root, prints what that prints while it runs, copies its directory out (when there is
# one) back to PAYLOAD/out, and exits as it did. A machine that does not boot, or not end in SECONDS, is an error.
set -euo pipefail

image=$(realpath "$1") payload=$(realpath "$2") seconds=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
size=$(($(du -sm "$payload" | cut -f1) * 13 / 10 + 256))
truncate -s ${size}M "$work/payload.img"
mkfs.ext4 -q -d "$payload" "$work/payload.img"

# What the virtual machine writes to its port comes out here. A pipe: qemu would not write behind what others wrote to a file.
# It is open here too, so that cat ends with a qemu that never got to open it.
mkfifo "$work/output"
exec 3<>"$work/output"
cat "$work/output" 3>&- &
cat=$!

# The disk stays as it is (snapshot). Nehalem, the translation buffer and init_on_alloc=0 make it a quarter faster. A kernel that panics
# ends the machine (panic=-1 and -no-reboot).
rc=0
timeout "$seconds" qemu-system-x86_64 -accel tcg,thread=multi,tb-size=512 -cpu Nehalem -smp 2 -m 3G -display none -monitor none -net none \
	-kernel "$image/vmlinuz" -initrd "$image/initrd.gz" -no-reboot \
	-append "console=ttyS0 mitigations=off init_on_alloc=0 apparmor=1 panic=-1" -serial "file:$work/console" \
	-drive "file=$image/disk.img,format=raw,if=virtio,cache=unsafe,snapshot=on" \
	-drive "file=$work/payload.img,format=raw,if=virtio,cache=unsafe" \
	-device virtio-serial -chardev "file,id=output,path=$work/output" -device virtserialport,chardev=output </dev/null 3>&- || rc=$?
exec 3>&-
wait "$cat"

e2fsck -fy "$work/payload.img" >/dev/null 2>&1 || true
status=$(debugfs -R "cat /status" "$work/payload.img" 2>/dev/null)
rm -rf "$payload/out"
debugfs -R "rdump /out $payload" "$work/payload.img" >/dev/null 2>&1
if [ -z "$status" ]; then
	echo "boot.sh: the virtual machine did not finish (qemu: $rc, limit ${seconds} s); the end of its console:" >&2
	tail -30 "$work/console" >&2
	exit 1
fi
exit "$status"
