#!/usr/bin/env bash
# Installs the Debian packages that a target needs, where they are missing, and says so.
# usage: system-packages.sh demo|test|cross|packages
set -euo pipefail

build="build-essential pkg-config libtss2-dev"
lab="swtpm swtpm-tools tpm2-tools openssh-server openssh-client libtss2-tcti-swtpm0 python3 openssl curl ca-certificates systemd"
# Debian's own Rust has a standard library for arm64; rustup's is left alone.
cross="$build rustc-web libstd-rust-web-dev:arm64 gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross libtss2-dev:arm64 qemu-user-static"
foreign=""
case "${1:-}" in
    demo | test) wanted="$build $lab" ;;
    cross) wanted="$cross $lab"; foreign=arm64 ;;
    packages) wanted="$build rpm debootstrap qemu-user-static openssh-client" ;;
    *) echo "usage: $0 demo|test|cross|packages" >&2; exit 64 ;;
esac

command -v cargo >/dev/null || { echo "cargo is missing: install rustup first (https://rustup.rs)" >&2; exit 1; }

missing=()
for package in $wanted; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "installing system packages: ${missing[*]}"
sudo=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "not root and no sudo: install these yourself: ${missing[*]}" >&2; exit 1; }
    sudo="sudo"
fi
# An sshd of the machine's own must neither start nor restart because of us.
policy=/usr/sbin/policy-rc.d
made_policy=""
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod 0755 "$policy"
    made_policy=yes
fi
cleanup() { [ -z "$made_policy" ] || $sudo rm -f "$policy"; }
trap cleanup EXIT
[ -z "$foreign" ] || $sudo dpkg --add-architecture "$foreign"
$sudo apt-get update -q
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
