#!/usr/bin/env bash
# Guess: a set of wheels for another Python is complete if it was resolved for that one: by `pip download --python-version 3.11.2`,
#        or by `pip freeze` on an interpreter of the same minor version.
# So:    pip chooses wheels for the version that it is told, but asks their environment markers about the interpreter that runs it.
#        redis wants async-timeout where `python_full_version < '3.11.3'`: pip on 3.11.3 or newer leaves it out whatever it is told,
#        pip on an older one never does, and so does `pip freeze`. Debian 12 has 3.11.2. Resolve with the interpreter that will run.
# Seen:  pip 26.3, redis 8.1.0 (PyPI), on CPython 3.11.7 and 3.11.2.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pip==26.3
here=$(venv/bin/python -c 'import sys; print(*sys.version_info[:3], sep=".")')
wants=$(venv/bin/python -c 'import sys; print("yes" if sys.version_info < (3, 11, 3) else "no")')
for version in 3.11.2 3.12.0; do
  venv/bin/pip -q download --only-binary=:all: --python-version "$version" -d "$version" redis==8.1.0
  has=$(compgen -G "$version/async_timeout-*.whl" >/dev/null && echo yes || echo no)
  echo "pip on $here, told $version: async-timeout $has"
  [[ $has == "$wants" ]] || { echo "the behaviour has changed"; exit 1; }
done
venv/bin/pip -q install redis==8.1.0
frozen=$(venv/bin/pip freeze)
echo "frozen on $here:" $frozen
[[ $(grep -qi '^async-timeout==' <<<"$frozen" && echo yes || echo no) == "$wants" ]] || { echo "the behaviour has changed"; exit 1; }
