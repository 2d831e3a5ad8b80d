#!/bin/sh
# v2view.sh COMMAND [ARG...]: runs a command in a mount namespace of its own where cgroup v2 is all there is. A machine that has it already keeps
# its options, which all mounts of it share.
set -eu
if [ "$1" != --unshared ]; then
	exec unshare -m --propagation private "$0" --unshared "$@"
fi
shift
options=$(awk '$3 == "cgroup2" { print $4; exit }' /proc/mounts)
umount -R /sys/fs/cgroup
mount -t cgroup2 -o "${options:-rw}" cgroup2 /sys/fs/cgroup
exec "$@"
