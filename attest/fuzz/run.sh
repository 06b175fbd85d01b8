#!/usr/bin/env bash
# usage: run.sh [seconds]   fuzzes each target for so long, from the corpus beside this file; stops at the first crash.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
command -v cargo-fuzz >/dev/null || {
    echo "cargo-fuzz is missing: cargo install cargo-fuzz (and a nightly compiler)" >&2
    exit 1
}
for target in fuzz/fuzz_targets/*.rs; do
    name=$(basename "$target" .rs)
    echo "fuzz: $name, $seconds s"
    mkdir -p "fuzz/corpus/$name"
    # New inputs go to a directory of their own: what is committed changes by hand only.
    mkdir -p "fuzz/target/found/$name"
    cargo +nightly fuzz run "$name" "fuzz/target/found/$name" "fuzz/corpus/$name" -- \
        -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048
done
