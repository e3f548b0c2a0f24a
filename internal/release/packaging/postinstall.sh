#!/bin/sh
# The units are new, or another version's: systemd has to read them.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
