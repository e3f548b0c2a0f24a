#!/bin/sh
# Before the package goes, its timers stop and are disabled. An upgrade keeps them: there, dpkg passes
# "upgrade" and rpm 1.
set -e
case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac
for link in /etc/systemd/system/timers.target.wants/mirrorform-drift@*.timer; do
	if [ -L "$link" ]; then
		systemctl --quiet disable "${link##*/}"
	fi
done
if [ -d /run/systemd/system ]; then
	systemctl stop 'mirrorform-drift@*.timer' 'mirrorform-drift@*.service'
fi
