// Package lab boots disposable, real Debian-like hosts on one Linux machine:
// systemd, sshd, apt, cron, block devices and a network of their own. Tests,
// the demo, the benchmark and `mirrorform lab` use the same code.
//
// A host is a systemd-nspawn container (systemd-nspawn(1)) booted from an
// overlay mount over one cached debootstrap tree. The hosts of a lab share a
// bridge and a /24 network that has no route to anywhere else; they install
// packages from a `file:` apt repository that lies in the tree.
//
// Limits that follow from containers, which tests should know:
//
//   - There is no udev and /sys is read-only. `lsblk` in a host lists every
//     block device of the machine, while only the host's own disks have a
//     node in /dev, so blkid(8) and mount(8) by UUID see the right ones.
//   - systemd's own fstab generator ignores block devices in containers. The
//     tree has a generator of the lab's that writes the mount units in its
//     place, so that fstab entries are mounted at boot and have units.
//   - Killing a host is no power cut, since the page cache survives. A host
//     with a system disk can lose its power: see Host.PowerCut.
package lab
