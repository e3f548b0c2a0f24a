# Debian's default site serves the trees below /pub, and a template unit with a timer syncs them.
mkdir -p /var/www/html/pub/almalinux /var/www/html/pub/epel; date +%s >/var/www/html/pub/almalinux/TIME
useradd -r -d /nonexistent puller; chown -R puller: /var/www/html/pub
chmod 755 /usr/local/lib/pull/run
systemctl daemon-reload; systemctl enable --now pull@almalinux.timer pull@epel.timer
