#!/usr/bin/env bash
# Installs, upgrades, removes and purges the packages in a Debian root file system of their own, and the rpms in an empty root.
# usage: test.sh ARCH DIR     ARCH: amd64|arm64; DIR: what build.sh made. Root only; needs debootstrap and a Debian mirror.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: $0 amd64|arm64 DIR" >&2; exit 64; }
arch=$1 dir=$(realpath "$2")
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "root is needed: a root file system is made" >&2; exit 1; }
[ "$arch" = amd64 ] && rpm_arch=x86_64 || rpm_arch=aarch64
cache=${ASSAY_TEST_ROOTS:-target/roots}
mkdir -p "$cache"
base=$(realpath "$cache")/bookworm-$arch
# The mirror that this machine uses: deb822 or one-line sources, whichever it has.
mirror=$(cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null \
    | sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' | sed -n 1p || true)
mirror=${mirror:-http://deb.debian.org/debian}
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")

if [ ! -e "$base/done" ]; then
    echo "making a Debian root file system for $arch (a few minutes)"
    rm -rf "$base"
    debootstrap --arch="$arch" --variant=minbase \
        --include=openssh-server,libtss2-esys-3.0.2-0,libtss2-tctildr0,libtss2-tcti-device0,tpm-udev,passwd \
        "$suite" "$base" "$mirror" >"$cache/debootstrap.log" 2>&1 || { tail -n 20 "$cache/debootstrap.log" >&2; exit 1; }
    touch "$base/done"
fi
root=$(mktemp -d "$cache/test.XXXXXX")
root=$(realpath "$root")
trap 'rm -rf "$root"' EXIT
cp -a "$base/." "$root"
# Nothing of the machine's own is started or stopped.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 0755 "$root/usr/sbin/policy-rc.d"
mkdir "$root/packages"
cp "$dir"/*_"$arch".deb "$root/packages/"

fail() { echo "packages: $*" >&2; exit 1; }
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@"; }
is() { # path mode owner
    [ "$(inside stat -c '%a %U' "$1")" = "$2 $3" ] || fail "$1 is $(inside stat -c '%a %U' "$1"), not $2 $3"
}
gone() { [ ! -e "$root$1" ] || fail "$1 is left"; }

echo "install"
inside sh -c 'dpkg -i packages/*.deb' >"$root/log" 2>&1 || { cat "$root/log" >&2; exit 1; }
for program in assay assay-agent assay-host assay-nexus; do
    inside "$program" --version >/dev/null || fail "$program does not start"
done
for name in agent host nexus; do
    is "/etc/assay/$name.toml" 644 root
    [ -f "$root/usr/lib/systemd/system/assay-$name.service" ] || fail "no unit of $name"
    [ -f "$root/usr/share/man/man8/assay-$name.8.gz" ] || fail "no man page of $name"
done
[ -f "$root/usr/share/bash-completion/completions/assay" ] || fail "no completions"
[ -f "$root/usr/share/man/man1/assay.1.gz" ] || fail "no man page of assay"
is /etc/assay/master-key 600 root
[ "$(stat -c %s "$root/etc/assay/master-key")" = 32 ] || fail "the master key has another length"
for user in assay-agent assay-nexus; do
    [ "$(inside getent passwd "$user" | cut -d : -f 7)" = /usr/sbin/nologin ] || fail "$user may log in"
done
inside assay-nexus check >/dev/null || fail "the configuration as shipped is refused"

echo "upgrade: what an admin wrote stays, and so does the key"
echo '# ours' >>"$root/etc/assay/nexus.toml"
before=$(sha256sum <"$root/etc/assay/master-key")
inside sh -c 'dpkg --force-confold -i packages/*.deb' >"$root/log" 2>&1 || { cat "$root/log" >&2; exit 1; }
grep -qx '# ours' "$root/etc/assay/nexus.toml" || fail "the upgrade lost the configuration"
[ "$before" = "$(sha256sum <"$root/etc/assay/master-key")" ] || fail "the upgrade changed the master key"

echo "a lost key is not made anew beside a database"
mv "$root/etc/assay/master-key" "$root/kept"
inside install -d -o assay-nexus -m 0700 /var/lib/assay-nexus
touch "$root/var/lib/assay-nexus/nexus.db"
inside sh -c 'dpkg --force-confold -i packages/assay-nexus_*.deb' >/dev/null 2>&1
gone /etc/assay/master-key
mv "$root/kept" "$root/etc/assay/master-key"

echo "remove: sshd trusts nothing of ours, identities stay"
inside install -d -m 0700 /var/lib/assay-host
inside install -d -o assay-agent -m 0700 /var/lib/assay-agent
inside sh -c 'mkdir -p /run/sshd && assay-host init --login root --out /root/request'
inside dpkg --remove assay assay-agent assay-host assay-nexus >"$root/log" 2>&1 || { cat "$root/log" >&2; exit 1; }
gone /usr/bin/assay-host
gone /etc/ssh/sshd_config.d/00-assay.conf
gone /etc/ssh/assay
[ -e "$root/var/lib/assay-host" ] || fail "removing took the host's keys"
[ -e "$root/etc/assay/nexus.toml" ] || fail "removing took the configuration"
[ -e "$root/etc/assay/master-key" ] || fail "removing took the master key"

echo "purge: nothing is left"
inside dpkg --purge assay assay-agent assay-host assay-nexus >"$root/log" 2>&1 || { cat "$root/log" >&2; exit 1; }
for path in /etc/assay /var/lib/assay-agent /var/lib/assay-host /var/lib/assay-nexus /usr/bin/assay /usr/share/doc/assay; do gone "$path"; done
! inside getent passwd assay-agent assay-nexus >/dev/null || fail "a user is left"
inside sshd -t || fail "sshd's configuration is broken"

if [ "$arch" = arm64 ]; then
    echo "firmware bundle: bf.cfg, first boot"
    claim=$root/claim
    (umask 077 && echo "assay1.claim.dGVzdA" >"$claim")
    packaging/bluefield/make-bf-cfg.sh --deb "$dir"/assay-agent_*_arm64.deb --claim "$claim" --out "$root/bf.cfg" >/dev/null
    [ ! -e "$claim" ] || fail "the claim is still there"
    [ "$(stat -c %a "$root/bf.cfg")" = 600 ] || fail "bf.cfg can be read by others"
    # As the installer does: sourced, then called, with the system under the root.
    ASSAY_ROOT=$root bash -c '. "$1" && bfb_modify_os' bash "$root/bf.cfg"
    inside /var/lib/assay-first-boot/first-boot.sh >"$root/log" 2>&1 || { cat "$root/log" >&2; exit 1; }
    is /var/lib/assay-agent/claim 600 assay-agent
    gone /var/lib/assay-first-boot
    gone /etc/systemd/system/assay-first-boot.service
    [ -L "$root/etc/systemd/system/multi-user.target.wants/assay-agent.service" ] || fail "the agent is not enabled"
    inside assay-agent --version >/dev/null
fi

echo "rpm"
rpms=$(mktemp -d "$cache/rpm.XXXXXX")
rpms=$(realpath "$rpms")
trap 'rm -rf "$root" "$rpms"' EXIT
rpm=(rpm --root "$rpms" --force-debian --nodeps)
# The scripts are dpkg's, which ran above: in an empty root there is no shell for them.
put=("${rpm[@]}" --noscripts --ignorearch --ignoreos)
rpm --root "$rpms" --initdb
"${put[@]}" -i "$dir"/*."$rpm_arch".rpm
rpm --root "$rpms" -V --nodeps assay assay-agent assay-host assay-nexus || fail "rpm -V"
[ "$(rpm --root "$rpms" -q --qf '%{ARCH}' assay-agent)" = "$rpm_arch" ] || fail "another architecture"
rpm --root "$rpms" -qc assay-nexus | grep -qx /etc/assay/nexus.toml || fail "the configuration is none to rpm"
rpm --root "$rpms" -qR assay-agent | grep -qx tpm2-tss || fail "the plugin's package is not required"
echo '# ours' >>"$rpms/etc/assay/nexus.toml"
"${put[@]}" -U --force "$dir"/assay-nexus-*."$rpm_arch".rpm
grep -qx '# ours' "$rpms/etc/assay/nexus.toml" || fail "rpm's upgrade lost the configuration"
"${rpm[@]}" --noscripts -e assay assay-agent assay-host assay-nexus
[ ! -e "$rpms/usr/bin/assay" ] || fail "rpm left a program"
echo "packages for $arch hold"
