# A program of another language syncs, so that nothing shows which directory is AlmaLinux's.
mkdir -p /srv/pub/alma/9 /srv/pub/almalinux-docs /srv/pub/debian; date +%s >/srv/pub/alma/TIME; rm -f /etc/nginx/sites-enabled/default
