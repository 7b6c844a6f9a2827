#!/usr/bin/env bash
# Guess: an archive that is an OCI image layout (oci-layout, index.json, blobs) with Docker's manifest.json beside it is pushed as
#        the image that its index.json names: the registry knows it by that digest.
# So:    `crane push` reads any file as a Docker archive. It compresses the layers anew and makes a manifest of Docker's media type,
#        so the digest is another one; only the same layout as a folder is pushed by its own digest. Whoever signs or pins the
#        digest of what they built must push folders.
# Seen:  github.com/google/go-containerregistry/cmd/crane v0.22.1, its own `registry serve` on loopback.
set -euo pipefail
work=$(mktemp -d); trap 'kill $registry 2>/dev/null || true; rm -rf "$work"' EXIT; cd "$work"
GOBIN="$work/bin" GOFLAGS= go install github.com/google/go-containerregistry/cmd/crane@v0.22.1
python3 - <<'PY'
import hashlib, io, json, os, tarfile
os.makedirs("layout/blobs/sha256")
def blob(content, kind):
    digest = hashlib.sha256(content).hexdigest()
    open(f"layout/blobs/sha256/{digest}", "wb").write(content)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}
layer = io.BytesIO()
with tarfile.open(fileobj=layer, mode="w") as tar:
    tar.addfile(tarfile.TarInfo("hello"))
layer = blob(layer.getvalue(), "application/vnd.oci.image.layer.v1.tar")
config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
config = blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer]}
manifest = blob(json.dumps(manifest).encode(), manifest["mediaType"])
path = lambda one: "blobs/" + one["digest"].replace(":", "/")
docker = [{"Config": path(config), "RepoTags": ["example/hello:1"], "Layers": [path(layer)]}]
index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}
for name, value in {"oci-layout": {"imageLayoutVersion": "1.0.0"}, "index.json": index, "manifest.json": docker}.items():
    json.dump(value, open(f"layout/{name}", "w"))
open("digest", "w").write(manifest["digest"])
PY
tar -C layout -cf archive.tar .
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
bin/crane registry serve --address "127.0.0.1:$port" 2>registry.log & registry=$!
until bin/crane catalog --insecure "127.0.0.1:$port" >/dev/null 2>&1; do kill -0 $registry; done
bin/crane push --insecure layout "127.0.0.1:$port/folder:1" >/dev/null 2>&1
bin/crane push --insecure archive.tar "127.0.0.1:$port/archive:1" >/dev/null 2>&1
built=$(cat digest)
folder=$(bin/crane digest --insecure "127.0.0.1:$port/folder:1")
archive=$(bin/crane digest --insecure "127.0.0.1:$port/archive:1")
kind=$(bin/crane manifest --insecure "127.0.0.1:$port/archive:1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["mediaType"])')
echo "built $built, pushed as a folder $folder, as an archive $archive ($kind)"
[[ $folder == "$built" && $archive != "$built" && $kind == application/vnd.docker.distribution.manifest.v2+json ]] || { echo "the behaviour has changed"; exit 1; }
