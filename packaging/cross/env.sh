# Sourced: how to build for aarch64 with Debian's own compiler and arm64 libraries (packages: packaging/system-packages.sh cross).
# Another rustc than the machine's needs a target directory of its own, or each change of compiler rebuilds everything.
target=aarch64-unknown-linux-gnu
export RUSTC=/usr/bin/rustc
unset RUSTC_WRAPPER RUSTUP_TOOLCHAIN
export CARGO_TARGET_DIR=${CROSS_TARGET_DIR:-target/cross}
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
export CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++
export AR_aarch64_unknown_linux_gnu=aarch64-linux-gnu-ar
export PKG_CONFIG_ALLOW_CROSS=1
export PKG_CONFIG_LIBDIR_aarch64_unknown_linux_gnu=/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig
# Without -L: with the multiarch libraries beside it, qemu-user's own search path never returns.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static
