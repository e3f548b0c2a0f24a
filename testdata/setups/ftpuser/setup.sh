# An account that was there syncs two trees by its own crontab; a virtual host of Apache and modules serve both.
useradd -m -d /srv/ftp -s /bin/bash ftpadmin; mkdir -p /srv/ftp/pub/{almalinux,rocky}; date +%s >/srv/ftp/pub/almalinux/TIME
chown -R ftpadmin: /srv/ftp; chmod 755 /srv/ftp
chown ftpadmin:crontab /var/spool/cron/crontabs/ftpadmin; chmod 600 /var/spool/cron/crontabs/ftpadmin
ln -s ../sites-available/ftp.conf /etc/apache2/sites-enabled/ftp.conf; rm -f /etc/apache2/sites-enabled/000-default.conf
systemctl enable --now rsync; systemctl restart rsync
