#!/usr/bin/env bash
# Runs the tests of the verifier and the agent as aarch64 programs, under qemu-user.
set -euo pipefail
cd "$(dirname "$0")/../.."
. packaging/cross/env.sh
# Emulation that hangs must end.
timeout 3600 cargo test --locked --target "$target" -p assay-attest -p assay-agent "$@"
