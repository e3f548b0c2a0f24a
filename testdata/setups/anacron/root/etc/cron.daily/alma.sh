rsync -a --delete rsync://mirror.example.org/almalinux/ /srv/pub/almalinux
