#!/bin/sh
# Builds all programs as static binaries for images made from scratch, and prints the folder they are in.
# All at once, since cargo chooses the features of shared packages for those that it is asked for.
#
#   images/build.sh PROFILE [ARGUMENT OF CARGO]...
#
# PROFILE is static, or static-quick for tests.
#
# The C library is linked in: glibc resolves names with /etc/resolv.conf and /etc/hosts alone, which
# the kubelet mounts; the linker's warning about getaddrinfo is about other sources of names.
# --target keeps the flags away from build scripts and macros, which must be dynamic.
# What is published shows neither the folder of the sources nor that of the packages, so that two machines can make the same
# bytes. Those of tests keep them, since other flags would have every clone build everything anew.
set -eu
profile="$1"
shift
cd "$(dirname "$0")/.."
target="$(uname -m)-unknown-linux-gnu"
variable="CARGO_TARGET_$(printf %s "$target" | tr 'a-z-' 'A-Z_')_RUSTFLAGS"
folder="${CARGO_TARGET_DIR:-target}"
case "$folder" in
/*) ;;
*) folder="$PWD/$folder" ;;
esac
flags="-C target-feature=+crt-static"
# Pointers in tables are packed to bits, where each takes 24 bytes otherwise, which a start reads. The C library that is linked in must unpack
# them: glibc does from 2.36 on. A linker that cannot pack says so and goes on.
if printf '2.36\n%s\n' "$(getconf GNU_LIBC_VERSION | cut -d ' ' -f 2)" | sort --version-sort --check=silent; then
    flags="$flags -C link-arg=-Wl,-z,pack-relative-relocs"
fi
if [ "$profile" = static ]; then
    . images/paths.sh
fi
env "$variable=$flags" \
    cargo build --locked --profile "$profile" --target "$target" \
    -p langop-operator --bin langop-operator \
    -p langop-synthesizer --bin langop-synthesizer \
    -p langop-certificates --bin langop-certificates \
    -p langop-runtime --bin langop-agent \
    -p langop-tools --bin langop-tool --bin langop-tool-filesystem --bin langop-tool-web --bin langop-tool-email \
    -p langop-chat --bin langop-chat "$@"
printf '%s\n' "$folder/$target/$profile"
