#!/usr/bin/env bash
# Builds the four programs for aarch64 Linux, each alone, and holds what the README says of them: glibc, libraries, sizes.
# usage: build.sh [agent|host|nexus|cli]...
set -euo pipefail
cd "$(dirname "$0")/../.."
. packaging/cross/env.sh

# BlueField's Ubuntu 22.04 image has 2.35.
newest_glibc=2.35
agent_bytes=$((8 * 1024 * 1024))

[ $# -gt 0 ] || set -- agent host nexus cli
fail() { echo "cross: $*" >&2; exit 1; }

for name in "$@"; do
    case "$name" in
        # Small machines: these may abort, and are built for size.
        agent | host) profile=device program=assay-$name ;;
        nexus) profile=release program=assay-nexus ;;
        cli) profile=release program=assay ;;
        *) echo "usage: $0 [agent|host|nexus|cli]..." >&2; exit 64 ;;
    esac
    cargo build --locked --target "$target" --profile "$profile" -p "assay-$name" --bin "$program"
    binary=$CARGO_TARGET_DIR/$target/$profile/$program
    [ "$(aarch64-linux-gnu-readelf -h "$binary" | awk '/Machine:/ {print $2}')" = AArch64 ] || fail "$program is not for aarch64"
    glibc=$(aarch64-linux-gnu-objdump -T "$binary" | grep -oE 'GLIBC_[0-9.]+' | sed 's/GLIBC_//' | sort -uV | tail -n 1)
    [ "$(printf '%s\n' "$glibc" "$newest_glibc" | sort -V | tail -n 1)" = "$newest_glibc" ] \
        || fail "$program needs glibc $glibc, the image has $newest_glibc: $(aarch64-linux-gnu-objdump -T "$binary" | grep "GLIBC_$glibc")"
    bytes=$(stat -c %s "$binary")
    libraries=$(aarch64-linux-gnu-readelf -d "$binary" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v '^ld-' | paste -sd ' ')
    printf '%-12s %8d bytes  glibc %s  %s\n' "$program" "$bytes" "$glibc" "$libraries"
    case "$name" in
        agent)
            [ "$bytes" -le "$agent_bytes" ] || fail "the agent has $bytes bytes, over $agent_bytes"
            ;&
        host)
            # What the control plane needs has no place on a small machine.
            if cargo tree --locked --target "$target" -e normal -p "assay-$name" --prefix none \
                | grep -E '^(assay-nexus|assay-cli|cedar-policy|rusqlite|axum) '; then
                fail "$program links the above"
            fi
            ;;
    esac
done
