#!/bin/sh
# Makes the tree what an EL host is at the beginning, after its packages were built.
set -eu
el=/root/el
mkdir -p /etc/rpm /etc/sysconfig /etc/pki/tls/certs /etc/pki/tls/private
echo '%_dbpath /var/lib/rpm' >/etc/rpm/macros

# What Debian's packages have and these hosts must not: units are made of the scripts in init.d, too.
rm -rf /etc/init.d /etc/rc?.d /etc/crontab /etc/cron.* /var/spool/cron /etc/logrotate.d /etc/default/ssh

# The accounts of EL: no more of Debian's, and the names of its groups.
for user in www-data backup list irc gnats news uucp proxy _apt man; do userdel $user 2>/dev/null || :; done
for group in www-data backup list irc gnats news uucp proxy src sudo crontab; do groupdel $group 2>/dev/null || :; done
groupmod --new-name nobody nogroup
groupadd --system --gid 10 wheel 2>/dev/null || groupmod --gid 10 --new-name wheel "$(getent group 10 | cut -d: -f1)"
sed -i 's|^nobody:.*|nobody:x:65534:65534:Kernel Overflow User:/:/sbin/nologin|' /etc/passwd

# The server of ssh has another name.
sed '/^Alias=/d; s|/etc/default/ssh|/etc/sysconfig/sshd|' /lib/systemd/system/ssh.service >/usr/lib/systemd/system/sshd.service.new
systemctl --quiet disable ssh.service
rm -f /etc/systemd/system/sshd.service /usr/lib/systemd/system/ssh.service /usr/lib/systemd/system/ssh.socket
mv /usr/lib/systemd/system/sshd.service.new /usr/lib/systemd/system/sshd.service

cp $el/release/dnf.conf /etc/dnf/dnf.conf
echo "module_platform_id=platform:el$1" >>/etc/dnf/dnf.conf
mkdir -p /etc/dnf/vars
echo "$1" >/etc/dnf/vars/releasever
rm -rf /etc/yum.repos.d && mkdir /etc/yum.repos.d
rm -f /etc/os-release
installed=
for name in almalinux-release $(sed -n 's/^%package -n //p' $el/specs/platform.spec); do
    installed="$installed $(ls /opt/mirrorform-lab/dnf/"$name"-[0-9]*.rpm)"
done
rpm --initdb
dnf --quiet --assumeyes --disablerepo='*' install $installed
systemctl --quiet enable sshd.service
ln -sf /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt
ln -sf /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/cert.pem
dnf --quiet makecache

# EL has neither. The files of Debian's packages stay.
rm -rf /etc/apt /var/lib/apt /var/cache/apt /var/lib/dpkg /etc/dpkg /opt/mirrorform-lab/apt /usr/lib/apt
rm -f /usr/bin/apt /usr/bin/apt-* /usr/bin/dpkg /usr/bin/dpkg-* /usr/sbin/policy-rc.d
rm -rf $el /root/.rpmmacros /root/.rpmdb
