# What a sandbox sees of its limits. Run it inside, on cgroup v1 or v2, with nothing but busybox:
#   zbox -c examples/sandbox.json -- sh -c "$(cat examples/limits.sh)"
# shellcheck shell=sh
cg=/sys/fs/cgroup
if [ -r $cg/memory.max ]; then
	memory=$(cat $cg/memory.max)
	cpu=$(cat $cg/cpu.max)
	pids=$(cat $cg/pids.max)
else
	memory=$(cat $cg/memory/memory.limit_in_bytes)
	cpu="$(cat $cg/cpu/cpu.cfs_quota_us) $(cat $cg/cpu/cpu.cfs_period_us)"
	pids=$(cat $cg/pids/pids.max)
fi
echo "host name:   $(hostname)"
echo "user:        $(id -u), $(awk '{ print $1 " is uid " $2 " on the host, " $3 " in all" }' /proc/self/uid_map)"
echo "memory:      $memory bytes"
echo "cpu:         ${cpu% *} of each ${cpu#* } microseconds"
echo "processes:   $pids"
echo "capabilities:$(sed -n 's/^CapBnd:[[:space:]]*/ /p' /proc/self/status)"
echo "seccomp:    $(sed -n 's/^Seccomp:[[:space:]]*/ mode /p' /proc/self/status)"
echo "interfaces: $(sed -n 's/^ *\([^ ]*\):.*/ \1/p' /proc/net/dev | tr -d '\n')"
