#!/usr/bin/env bash
# Builds the programs, each alone, and packages them. For arm64 it takes what `make cross` built.
# usage: make.sh amd64|arm64
set -euo pipefail
cd "$(dirname "$0")/../.."
arch=${1:-}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
case "$arch" in
    amd64)
        [ "$(dpkg --print-architecture)" = amd64 ] || { echo "this machine is not amd64" >&2; exit 1; }
        target=${CARGO_TARGET_DIR:-target}
        build() { cargo build --locked --profile "$2" -p "$1" --bin "$3" && cp "$target/$2/$3" "$out/"; }
        ;;
    arm64)
        . packaging/cross/env.sh
        build() {
            cp "$CARGO_TARGET_DIR/$target/$2/$3" "$out/" || { echo "run \`make cross\` first" >&2; exit 1; }
        }
        ;;
    *) echo "usage: $0 amd64|arm64" >&2; exit 64 ;;
esac
build assay-agent device assay-agent
build assay-host device assay-host
build assay-nexus release assay-nexus
build assay-cli release assay
packaging/packages/build.sh "$arch" "$out" target/packages
