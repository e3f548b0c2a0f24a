#!/bin/sh
# Builds the packages and repositories of an EL host, in its tree. $1: 8, 9 or 10; $2: the minor release; $3: its name.
set -eu
el=/root/el dnf=/opt/mirrorform-lab/dnf epel=/opt/mirrorform-lab/epel
cd $el
mkdir -p build rpms $dnf $epel
{
    cat macros
    echo "%rhel $1"
    echo "%dist .el$1"
    echo "%el_version $2"
    echo "%el_name $3"
    echo "%_dbpath /var/lib/rpm"
} >/root/.rpmmacros
chmod 0755 tidy

version() { printf %s "${1#*:}" | sed 's/-[^-]*$//; s/+.*//; s/-/./g'; }

# The packages of what the tree has.
{
    echo 'AutoReqProv: no'
    printf 'Name: mirrorform-lab-platform\nVersion: 1\nRelease: 1%%{?dist}\nSummary: What the hosts have from the beginning\nLicense: Apache-2.0\n%%description\n%%{summary}.\n'
    grep -v '^#' platform | while read -r name deb; do
        full=$(dpkg-query --show --showformat '${db:Status-Status} ${Version}' "$deb" 2>/dev/null) || continue
        case $full in 'installed '*) ;; *) continue ;; esac
        printf '%%package -n %s\nAutoReqProv: no\nVersion: %s\nSummary: %s, in the files of Debian package %s\n' \
            "$name" "$(version "${full#* }")" "$name" "$deb"
        if [ "$name" = bash ]; then echo 'Provides: /bin/sh'; fi
        printf '%%description -n %s\n%%{summary}.\n%%files -n %s\n' "$name" "$name"
    done
} >specs/platform.spec

# A program of a newer Debian comes with the libraries that it was linked with: bring SUITE DIRECTORY PACKAGE...
bring() {
    suite=$1 to=$2
    shift 2
    mkdir -p "$to"
    for deb; do
        find newer/$suite/$deb \( -name 'lib*.so.*' -o -name 'ld-linux*.so.*' \) -path '*/*-linux-gnu*/*' | while read -r lib; do
            case ${lib##*/} in
            ld-linux*) cp "$lib" "$to/ld.so" ;;
            libc.so.6 | libdl.so.2 | libm.so.6 | libpthread.so.0 | libresolv.so.2 | librt.so.1 | libssl.so.* | libcrypto.so.*) cp "$lib" "$to/" ;;
            esac
        done
    done
}

# lead FILE DIRECTORY: has a program use those libraries, also for what its libraries need.
lead() { deb/patchelf/usr/bin/patchelf --set-interpreter "$2/ld.so" --force-rpath --set-rpath "$2" "$1"; }

build() {
    rpmbuild -bb --quiet "$@" >build/log 2>&1 || { cat build/log >&2; exit 1; }
}

# nginx PROGRAM VERSION RELEASE [OPTION...]
nginx() {
    program=$1 is=$2 release=$3
    shift 3
    build --define "nginx_program $el/$program" --define "nginx_version $is" --define "nginx_release $release" "$@" specs/nginx.spec
}

# plain NAME DEB...: the first one has the version.
plain() { test ! -d deb/$2 || build --define "plain_name $1" --define "plain_deb $2" --define "plain_debs ${*#"$1"}" specs/plain.spec; }

# stream STREAM RELEASE: a stream of the module nginx, with the packages of that release.
stream() {
    cat <<END
---
document: modulemd
version: 2
data:
  name: nginx
  stream: "$1"
  version: 1
  context: "lab"
  arch: $(uname -m)
  summary: nginx, in the version of this stream
  description: nginx
  license:
    module: [ MIT ]
  profiles:
    common:
      rpms: [ nginx ]
  artifacts:
    rpms:
END
    rpm -qp --qf '    - %{name}-%{epoch}:%{version}-%{release}.%{arch}\n' rpms/*/nginx-*"-$2.el$rhel".*.rpm
    echo ...
}

rhel=$1
own=$(cat version/nginx)
program=deb/nginx/usr/sbin/nginx
if [ -e deb/nginx-core/usr/sbin/nginx ]; then program=deb/nginx-core/usr/sbin/nginx; fi
if [ "$rhel" = 8 ]; then nginx $program "$own" 1.module; else nginx $program "$own" 1; fi
stream=
for suite in $(ls newer 2>/dev/null); do
    if [ -e newer/$suite/nginx/usr/sbin/nginx ]; then
        stream=$(cat version/nginx.$suite) libs=/usr/libexec/nginx
        bring "$suite" build/nginx libc6 libssl3*
        lead newer/$suite/nginx/usr/sbin/nginx $libs
        nginx newer/$suite/nginx/usr/sbin/nginx "$stream" 2.module --define "nginx_libraries $libs" --define "nginx_closure $el/build/nginx"
    fi
    if [ -d newer/$suite/cronie ]; then
        bring "$suite" build/cronie libc6
        for f in newer/$suite/cronie/usr/sbin/crond newer/$suite/cronie/usr/bin/*; do lead "$f" /usr/libexec/cronie; done
        ln -s ../newer/$suite/cronie deb/cronie
        cp version/cronie.$suite version/cronie
    fi
done
plain curl curl
plain xfsprogs xfsprogs
plain nftables nftables
plain policycoreutils policycoreutils
plain policycoreutils-python-utils policycoreutils-python-utils semodule-utils
for spec in platform release httpd rsync cronie logrotate firewalld certbot caddy; do
    if [ $spec != caddy ] || [ -d deb/caddy ]; then build specs/$spec.spec; fi
done
for v in 1.0 2.0; do build --define "demo_version $v" specs/demo.spec; done

find rpms \( -name 'caddy-*' -o -name 'certbot-*' -o -name 'python3-certbot*' \) -exec mv -t $epel {} +
cp rpms/*/*.rpm $dnf/
{
    if [ "$rhel" = 8 ]; then
        stream 1.14 1.module
        printf -- '---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: nginx\n  stream: "1.14"\n  profiles:\n    "1.14": [ common ]\n...\n'
    fi
    if [ -n "$stream" ]; then stream "${stream%.*}" 2.module; fi
} >build/modules.yaml
for repo in $dnf $epel; do createrepo_c --quiet $repo; done
if [ -s build/modules.yaml ]; then modifyrepo_c --mdtype=modules build/modules.yaml $dnf/repodata >/dev/null; fi
