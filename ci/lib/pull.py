"""Unpacks an image from a registry over plain HTTP, checking every digest: pull.py HOST:PORT REPOSITORY TAG DIRECTORY.

Deliberately not our own code: what it finds was really pushed. Only for images we just built ourselves.
"""

import hashlib
import io
import json
import sys
import tarfile
import urllib.request

MANIFESTS = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
]


def fetch(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": ", ".join(MANIFESTS)})
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read()


def checked(data: bytes, digest: str) -> bytes:
    found = "sha256:" + hashlib.sha256(data).hexdigest()
    if found != digest:
        sys.exit(f"the registry gave {found} for {digest}")
    return data


def main() -> None:
    host, repository, tag, directory = sys.argv[1:]
    base = f"http://{host}/v2/{repository}"
    data = fetch(f"{base}/manifests/{tag}")
    print(f"{host}/{repository}:{tag} is sha256:{hashlib.sha256(data).hexdigest()}")
    manifest = json.loads(data)
    if "manifests" in manifest:
        images = [m for m in manifest["manifests"] if m.get("platform", {}).get("os") != "unknown"]
        digest = images[0]["digest"]
        manifest = json.loads(checked(fetch(f"{base}/manifests/{digest}"), digest))
    config = json.loads(checked(fetch(f"{base}/blobs/{manifest['config']['digest']}"), manifest["config"]["digest"]))
    print(f"platform {config['os']}/{config['architecture']}, entry point {config['config'].get('Entrypoint')}")
    for layer in manifest["layers"]:
        blob = checked(fetch(f"{base}/blobs/{layer['digest']}"), layer["digest"])
        with tarfile.open(fileobj=io.BytesIO(blob)) as tar:
            for member in tar:
                print(f"  {member.mode:04o} {member.size:>9} {member.name}")
            tar.extractall(directory)


if __name__ == "__main__":
    main()
