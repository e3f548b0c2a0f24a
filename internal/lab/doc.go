// Package lab boots real, disposable hosts on one Linux machine, with systemd, sshd, apt or dnf,
// block devices and their own network. docs/lab.md has their operating systems. Tests, the demo,
// the benchmark and `mirrorform lab` use it.
//
// A host is a systemd-nspawn(1) container, booted from an overlay mount over a cached debootstrap
// tree. The hosts of a lab share a bridge with an IPv4 and an IPv6 network, and have no routes to
// other networks. They install packages from `file:` repositories in the tree, sync from an
// upstream of the lab, and get certificates from a CA of the lab.
//
// Containers have limits that tests must take into account:
//
//   - There is no udev, and /sys is read-only. `lsblk` on a host lists every block device of the
//     machine, but only the host's own disks have a node in /dev, so blkid(8) and mount(8) by UUID
//     find the right devices.
//   - systemd's fstab generator ignores block devices in containers. The tree has the lab's own
//     generator, which writes the mount units, so that fstab entries are mounted at boot.
//   - Killing a host is not a power cut, since the page cache survives. A host with a system disk
//     can lose its power: see Host.PowerCut.
package lab
