#!/bin/bash
# image.sh DIR: makes the virtual machine of the tests in DIR, out of Debian packages: disk.img, initrd.gz and vmlinuz. Debian 12,
# Linux 6.1, systemd, cgroup v2 only and AppArmor. Does nothing when what is there was made by this recipe.
set -euo pipefail

recipe=$(realpath "${BASH_SOURCE[0]}")
mkdir -p "$1"
cd "$1"
want=$(sha256sum <"$recipe")
if [ -e stamp ] && [ "$(cat stamp)" = "$want" ]; then
	exit 0
fi
[ "$(id -u)" -eq 0 ] || { echo "image.sh: debootstrap needs root" >&2; exit 1; }
echo "making the image of the virtual machine in $PWD" >&2
rm -rf stamp root kernel initrd
trap 'rm -rf root kernel initrd' EXIT

packages=(
	systemd systemd-sysv dbus dbus-user-session libpam-systemd kmod procps apparmor uidmap
	busybox-static iproute2 nftables passt
	runc crun hyperfine
	podman conmon netavark slirp4netns catatonit iptables docker.io
	buildah containerd containernetworking-plugins strace criu
)
# A machine with another Debian or Ubuntu release names a mirror of Debian in VM_MIRROR.
# shellcheck disable=SC2016 # apt expands it
mirror=${VM_MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: bookworm' | head -1)}
[ -n "$mirror" ] || { echo "image.sh: apt knows no mirror of Debian bookworm; name one in VM_MIRROR" >&2; exit 1; }
list=${packages[*]}
try=1
until debootstrap --variant=minbase --include="${list// /,}" bookworm root "$mirror" >debootstrap.log 2>&1; do
	tail -20 debootstrap.log >&2
	[ $((try++)) -lt 3 ] || exit 1 # a mirror may not answer at once
	rm -rf --one-file-system root
done

# The kernel's package is unpacked, not installed: it would make an initramfs that is not used.
chroot root apt-get -o Acquire::Retries=5 update -q >>debootstrap.log 2>&1
kernel=$(chroot root apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
chroot root sh -c "cd /tmp && apt-get -o Acquire::Retries=5 download -q $kernel" >>debootstrap.log 2>&1
dpkg-deb -x root/tmp/linux-image-*.deb kernel
cp kernel/boot/vmlinuz-* vmlinuz
release=$(ls kernel/lib/modules)
cp -a "kernel/lib/modules/$release" root/usr/lib/modules-new
mkdir -p root/usr/lib/modules
mv root/usr/lib/modules-new "root/usr/lib/modules/$release"
chroot root depmod "$release"
rm -rf root/tmp/*.deb root/var/lib/apt/lists/* root/var/cache/apt/*

# The initrd only has to find the disk.
modules=kernel/lib/modules/$release/kernel/drivers
mkdir -p initrd/{bin,proc,dev,mnt,modules}
cp root/bin/busybox initrd/bin/
cp "$modules"/virtio/{virtio,virtio_ring,virtio_pci,virtio_pci_legacy_dev,virtio_pci_modern_dev}.ko "$modules"/block/virtio_blk.ko initrd/modules/
cat >initrd/init <<'INIT'
#!/bin/busybox sh
busybox() { /bin/busybox "$@"; }
busybox mount -t devtmpfs dev /dev
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
	busybox insmod /modules/$module.ko
done
until [ -e /dev/vda ]; do busybox sleep 0.05; done
busybox mount -t ext4 /dev/vda /mnt || busybox poweroff -f
exec /bin/busybox switch_root /mnt /sbin/init
INIT
chmod +x initrd/init
(cd initrd && find . | cpio -o -H newc --quiet | gzip -1) >initrd.gz

# The system.
chroot root passwd -d root >/dev/null
echo '/dev/vda / ext4 rw 0 1' >root/etc/fstab
echo vm >root/etc/hostname
printf '%s\n' virtio_console overlay veth bridge tun dummy nf_tables nft_masq nft_nat nft_chain_nat nft_ct nf_nat >root/etc/modules-load.d/tests.conf
for unit in serial-getty@ttyS0.service getty@tty1.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
	docker.service docker.socket containerd.service podman.service podman.socket podman-auto-update.timer podman-auto-update.service \
	podman-restart.service fstrim.timer e2scrub_all.timer e2scrub_reap.service systemd-timesyncd.service; do
	ln -sf /dev/null "root/etc/systemd/system/$unit"
done
# Those of users come up with each of their sessions.
for unit in podman.socket podman-auto-update.service podman-auto-update.timer podman-restart.service; do
	ln -sf /dev/null "root/etc/systemd/user/$unit"
done
# run.sh is the payload's; boot.sh brings it as the second disk and reads what it leaves there.
cat >root/etc/systemd/system/payload.service <<'UNIT'
[Unit]
After=multi-user.target dbus.service systemd-logind.service systemd-modules-load.service
[Service]
Environment=HOME=/root
Delegate=yes
ExecStart=/bin/bash -c 'until [ -b /dev/vdb ] && [ -c /dev/vport0p1 ]; do sleep 0.1; done; mkdir -p /mnt/payload && mount /dev/vdb /mnt/payload && ip link set lo up && cd /mnt/payload && { ./run.sh >/dev/vport0p1 2>&1; echo $? >status; }; cd /; umount /mnt/payload; poweroff -f'
[Install]
WantedBy=multi-user.target
UNIT
mkdir -p root/etc/systemd/system/multi-user.target.wants
ln -sf ../payload.service root/etc/systemd/system/multi-user.target.wants/payload.service

rm -f disk.img
truncate -s 4G disk.img
mkfs.ext4 -q -d root disk.img
echo "$want" >stamp
