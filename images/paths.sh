# For build.sh and release/plugin, which source it at the root of the sources: has compilers name the folders of the sources, of cargo's
# target ($folder, by its whole path) and of the packages alike on every machine. Adds to $flags, which are rustc's, CFLAGS and CXXFLAGS.
#
# A compiler may be told of a folder by its own name where cargo was given that of a link to it, so both are mapped.
map() {
    own="$(cd "$1" 2>/dev/null && pwd -P || printf %s "$1")"
    for from in "$1" "$own"; do
        flags="$flags --remap-path-prefix=$from=$2"
        CFLAGS="${CFLAGS:-} -ffile-prefix-map=$from=$2"
        CXXFLAGS="${CXXFLAGS:-} -ffile-prefix-map=$from=$2"
    done
}
packages="${CARGO_HOME:-$HOME/.cargo}"
map "$packages" /cargo
map "$packages/registry" /cargo/registry
map "$PWD" /langop
map "$folder" /target
export CFLAGS CXXFLAGS
