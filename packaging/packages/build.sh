#!/usr/bin/env bash
# Makes the packages, deb and rpm, from programs that are built. The same inputs give the same bytes.
# usage: build.sh ARCH PROGRAMS OUT      ARCH: amd64|arm64; PROGRAMS: directory with the four programs; OUT: where the packages go
set -euo pipefail
[ $# -eq 3 ] || { echo "usage: $0 amd64|arm64 PROGRAMS OUT" >&2; exit 64; }
arch=$1 programs=$(realpath "$2") out=$(realpath -m "$3")
cd "$(dirname "$0")/../.."
. packaging/packages/table.sh

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
release=1
maintainer="The Assay authors <assay@localhost>"
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export TZ=UTC LC_ALL=C
case "$arch" in
    amd64) rpm_arch=x86_64 run=() ;;
    arm64) rpm_arch=aarch64 run=(qemu-aarch64-static) ;;
    *) echo "no packages for \`$arch\`: amd64 or arm64" >&2; exit 64 ;;
esac
[ "$(dpkg --print-architecture)" != "$arch" ] || run=()

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out" "$work/made"

# What each program says of itself.
for program in assay assay-agent assay-host assay-nexus; do
    mkdir -p "$work/made/$program/man1" "$work/made/$program/man8"
done
timeout 120 "${run[@]}" "$programs/assay" man "$work/made/assay/man1" 2>/dev/null
for shell in bash:assay.bash zsh:_assay fish:assay.fish; do
    timeout 120 "${run[@]}" "$programs/assay" completions "${shell%%:*}" >"$work/made/assay/${shell##*:}"
done

place() { # mode source destination
    local source=${2/#@bin@/$programs}
    source=${source/#@made@/$work/made}
    install -D -m "$1" "$source" "$root$3"
}
file() { place "$@"; }
conffile() { place "$@"; echo "$3" >>"$work/conffiles"; }
manual() { # program section
    place 0644 "packaging/man/$1.$2" "/usr/share/man/man$2/$1.$2"
    gzip -9n "$root/usr/share/man/man$2/$1.$2"
}
tree() { # source destination: man pages, each compressed
    local page
    for page in "${1/#@made@/$work/made}"/*; do
        place 0644 "$page" "$2/$(basename "$page")"
        gzip -9n "$root$2/$(basename "$page")"
    done
}
script() { # what to call
    printf '#!/bin/sh\nset -e\n'
    cat packaging/packages/scripts/common.sh "packaging/packages/scripts/$package.sh"
    printf '%s\n' "$1"
}
body() { script "$1" | tail -n +3; }

for package in $PACKAGES; do
    root=$work/$package
    mkdir -p "$root/usr/share/doc/$package"
    : >"$work/conffiles"
    "describe_${package//-/_}"
    install -m 0644 packaging/packages/copyright "$root/usr/share/doc/$package/copyright"
    gzip -9nc CHANGELOG.md >"$root/usr/share/doc/$package/changelog.gz"
    find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

    # rpm first: it wants the tree without DEBIAN.
    {
        echo "Name: $package"
        echo "Version: $version"
        echo "Release: $release"
        echo "Summary: $summary"
        echo "License: Apache-2.0"
        echo "AutoReqProv: no"
        echo "Requires: libc.so.6(GLIBC_2.34)(64bit)"
        for name in $rpm_requires; do echo "Requires: $name"; done
        printf '%%description\n%s\n' "$text"
        printf '%%post\nset -e\n%s\n' "$(body 'if [ "$1" -gt 1 ]; then after_install upgrade; else after_install fresh; fi')"
        printf '%%preun\nset -e\n%s\n' "$(body 'if [ "$1" -eq 0 ]; then before_remove; fi')"
        printf '%%postun\nset -e\n%s\n' "$(body 'after_remove')"
        printf '%%install\nmkdir -p %%{buildroot}\ncp -a %s/. %%{buildroot}\n' "$root"
        echo "%files"
        (cd "$root" && find . -type f | sed 's/^\.//' | sort) | while read -r path; do
            if grep -qxF "$path" "$work/conffiles"; then echo "%config(noreplace) $path"; else echo "$path"; fi
        done
    } >"$work/$package.spec"
    # What macros of the machine would add (strip, byte-compile, build ids) is none of ours.
    rpmbuild -bb --quiet --target "$rpm_arch-linux" --buildroot "$work/rpmroot" \
        --define "_topdir $work/rpm" --define "_rpmdir $out" --define "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
        --define "_buildhost assay" --define "use_source_date_epoch_as_buildtime 1" --define "clamp_mtime_to_source_date_epoch 1" \
        --define "_build_id_links none" --define "debug_package %{nil}" --define "__os_install_post %{nil}" \
        --define "_binary_payload w9.gzdio" "$work/$package.spec"

    mkdir -p "$root/DEBIAN"
    cp "$work/conffiles" "$root/DEBIAN/conffiles"
    [ -s "$root/DEBIAN/conffiles" ] || rm "$root/DEBIAN/conffiles"
    # rmdir in the purge must not trip over a missing configuration directory.
    script 'case "$1" in configure) if [ -n "${2:-}" ]; then after_install upgrade; else after_install fresh; fi ;; esac' >"$root/DEBIAN/postinst"
    script 'case "$1" in remove) before_remove ;; esac' >"$root/DEBIAN/prerm"
    script 'case "$1" in remove) after_remove ;; purge) after_purge ;; esac' >"$root/DEBIAN/postrm"
    chmod 0755 "$root"/DEBIAN/{postinst,prerm,postrm}
    cat >"$root/DEBIAN/control" <<CONTROL
Package: $package
Version: $version-$release
Architecture: $arch
Maintainer: $maintainer
Section: admin
Priority: optional
Installed-Size: $(du -k --apparent-size -s "$root" | cut -f 1)
Depends: $deb_depends
Description: $summary
$(printf '%s\n' "$text" | sed 's/^/ /')
CONTROL
    (cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | sort | xargs md5sum) >"$root/DEBIAN/md5sums"
    find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --build --root-owner-group -Zxz "$root" "$out/${package}_$version-${release}_$arch.deb" >/dev/null
done
(cd "$out" && ls -1 ./*"$arch.deb" ./*"$rpm_arch.rpm" | sed 's|^\./||' | xargs sha256sum)
