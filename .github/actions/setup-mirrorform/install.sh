#!/bin/sh
# Downloads a release of mirrorform, and puts it into PATH after its archive was checked against SHA256SUMS.
#
# Environment:
#   MIRRORFORM_VERSION     1.2.3 or v1.2.3; empty: the newest release in the CHANGELOG.md beside this action
#   MIRRORFORM_SHA256SUMS  SHA-256 of the release's SHA256SUMS, to accept no other one; may be empty
#   MIRRORFORM_RELEASES    where releases are; empty: GitHub
#   MIRRORFORM_DIR         directory for the program; empty: one in RUNNER_TEMP, or a new one
#
# Prints the directory. With GITHUB_PATH, it is also added to the PATH of later steps.
set -eu

fail() {
	echo "setup-mirrorform: $*" >&2
	exit 1
}

digest() { # of a file, in hex
	if command -v sha256sum >/dev/null; then
		sha256sum <"$1" | cut -d ' ' -f 1
	else
		shasum -a 256 <"$1" | cut -d ' ' -f 1
	fi
}

version=${MIRRORFORM_VERSION:-}
version=${version#v}
if [ -z "$version" ]; then
	version=$(awk '/^## [0-9]/ { print $2; exit }' "$(dirname "$0")/../../../CHANGELOG.md")
	[ -n "$version" ] || fail "this commit of mirrorform knows no release: set the input version, to source to build this commit"
fi
case $version in
*[!0-9A-Za-z.+-]*) fail "invalid version '$version': give one such as 1.2.3" ;;
esac

case $(uname -s) in
Linux) os=linux ;;
Darwin) os=darwin ;;
FreeBSD) os=freebsd ;;
*) fail "no release for $(uname -s): use Linux, macOS or FreeBSD" ;;
esac
case $(uname -m) in
x86_64 | amd64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
ppc64le | s390x | riscv64) arch=$(uname -m) ;;
*) fail "no release for $(uname -m)" ;;
esac

releases=${MIRRORFORM_RELEASES:-https://github.com/mirrorform/mirrorform/releases/download}
case $releases in
https://*) scheme=https ;;
http://*) scheme=http ;; # a mirror of releases in the same network
*) fail "MIRRORFORM_RELEASES is not a URL: '$releases'" ;;
esac
archive=mirrorform_${version}_${os}_${arch}.tar.gz

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for file in SHA256SUMS "$archive"; do
	curl --fail --silent --show-error --location --retry 3 --proto "=$scheme" --proto-redir "=$scheme" \
		--output "$work/$file" "$releases/v$version/$file" || fail "cannot download $releases/v$version/$file"
done

if [ -n "${MIRRORFORM_SHA256SUMS:-}" ]; then
	found=$(digest "$work/SHA256SUMS")
	[ "$found" = "$MIRRORFORM_SHA256SUMS" ] ||
		fail "SHA256SUMS of $version has the SHA-256 $found, not the expected $MIRRORFORM_SHA256SUMS: nothing was installed"
fi
wanted=$(awk -v file="$archive" '$2 == file || $2 == "*" file { print $1 }' "$work/SHA256SUMS")
[ "$(printf '%s' "$wanted" | wc -w)" -eq 1 ] || fail "SHA256SUMS of $version must list $archive once: nothing was installed"
found=$(digest "$work/$archive")
[ "$found" = "$wanted" ] || fail "$archive has the SHA-256 $found, and SHA256SUMS lists $wanted: nothing was installed"

dir=${MIRRORFORM_DIR:-${RUNNER_TEMP:+$RUNNER_TEMP/mirrorform}}
[ -n "$dir" ] || dir=$(mktemp -d)
mkdir -p "$dir"
tar -xzf "$work/$archive" -C "$work" mirrorform
chmod 0755 "$work/mirrorform"
mv -f "$work/mirrorform" "$dir/mirrorform"
"$dir/mirrorform" version >&2
if [ -n "${GITHUB_PATH:-}" ]; then echo "$dir" >>"$GITHUB_PATH"; fi
echo "$dir"
