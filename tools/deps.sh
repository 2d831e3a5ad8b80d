#!/bin/bash
# deps.sh GOAL...: installs the Debian or Ubuntu packages that the goals (build, demo, test, vm, check, bench, fuzz) need and
# that are missing. Does nothing, quickly, when all are there.
set -euo pipefail

# want PACKAGE FILE: the package is missing when the file is.
missing=()
want() {
	[ -e "$2" ] || [ -e "${3:-$2}" ] || missing+=("$1")
}

for goal in build "$@"; do
	case $goal in
	build)
		want gcc /usr/bin/gcc
		want libc6-dev /usr/include/stdlib.h "/usr/include/$(uname -m)-linux-gnu/bits/stdlib.h"
		want make /usr/bin/make
		want musl-tools /usr/bin/musl-gcc
		want linux-libc-dev /usr/include/linux/seccomp.h
		want libseccomp-dev /usr/include/seccomp.h
		want pkg-config /usr/bin/pkg-config
		;;
	demo)
		want busybox-static /bin/busybox /usr/bin/busybox
		;;
	test)
		want busybox-static /bin/busybox /usr/bin/busybox
		want clang /usr/bin/clang
		want procps /usr/bin/ps /bin/ps
		want iproute2 /usr/sbin/ip /sbin/ip
		want nftables /usr/sbin/nft
		want passt /usr/bin/pasta
		want slirp4netns /usr/bin/slirp4netns
		want runc /usr/sbin/runc /usr/bin/runc
		;;
	vm)
		want qemu-system-x86 /usr/bin/qemu-system-x86_64
		want debootstrap /usr/sbin/debootstrap
		want e2fsprogs /usr/sbin/debugfs /sbin/debugfs
		want cpio /usr/bin/cpio /bin/cpio
		;;
	engines)
		want busybox-static /bin/busybox /usr/bin/busybox
		want runc /usr/sbin/runc /usr/bin/runc
		want podman /usr/bin/podman
		want buildah /usr/bin/buildah
		want conmon /usr/bin/conmon
		want netavark /usr/lib/podman/netavark
		want catatonit /usr/bin/catatonit
		want slirp4netns /usr/bin/slirp4netns
		want uidmap /usr/bin/newuidmap
		want systemd /lib/systemd/systemd
		want iptables /usr/sbin/iptables
		want docker.io /usr/sbin/dockerd /usr/bin/dockerd
		want containerd /usr/bin/containerd
		want containernetworking-plugins /usr/lib/cni/bridge
		want strace /usr/bin/strace
		;;
	check)
		want git /usr/bin/git
		want codespell /usr/bin/codespell
		want shellcheck /usr/bin/shellcheck
		want clang-format-14 /usr/bin/clang-format-14
		;;
	bench)
		want busybox-static /bin/busybox /usr/bin/busybox
		want hyperfine /usr/bin/hyperfine
		want runc /usr/sbin/runc /usr/bin/runc
		want jq /usr/bin/jq
		want iproute2 /usr/sbin/ip /sbin/ip
		;;
	fuzz)
		want clang /usr/bin/clang
		# The libraries of -fsanitize are of the version that clang is.
		clang=$(clang -dumpversion 2>/dev/null || apt-cache depends clang | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p')
		compgen -G "/usr/lib/llvm-${clang%%.*}/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a" >/dev/null ||
			missing+=("libclang-rt-${clang%%.*}-dev")
		;;
	*)
		echo "deps.sh: unknown goal $goal" >&2
		exit 2
		;;
	esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
	sudo=(sudo)
fi
echo "installing ${missing[*]}" >&2
# A mirror may not answer at once, and others may be installing.
patient=(-o Acquire::Retries=5 -o DPkg::Lock::Timeout=300)
"${sudo[@]}" apt-get "${patient[@]}" update -q >/dev/null
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "${patient[@]}" install -y -q --no-install-recommends "${missing[@]}" >/dev/null
