#!/bin/sh
# Builds langop-agent and the tool servers as static binaries for images made from scratch, and prints where they are.
#
# The C library is linked in: glibc resolves names with /etc/resolv.conf and /etc/hosts alone, which
# the kubelet mounts; the linker's warning about getaddrinfo is about other sources of names.
# --target keeps the flag away from build scripts and macros, which must be dynamic.
# Takes further arguments for cargo, such as --offline.
set -eu
cd "$(dirname "$0")/.."
target="$(uname -m)-unknown-linux-gnu"
variable="CARGO_TARGET_$(printf %s "$target" | tr 'a-z-' 'A-Z_')_RUSTFLAGS"
env "$variable=-C target-feature=+crt-static" \
    cargo build --locked --profile static --target "$target" --bins -p langop-runtime -p langop-tools "$@"
folder="${CARGO_TARGET_DIR:-target}/$target/static"
for binary in langop-agent langop-tool langop-tool-filesystem langop-tool-web langop-tool-email; do
    printf '%s %s\n' "$(stat -c %s "$folder/$binary")" "$folder/$binary"
done
