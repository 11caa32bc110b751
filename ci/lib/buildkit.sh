# shellcheck shell=bash
# BuildKit from source: buildctl and buildkitd as tools of the Go module in ci/buildkit, whose go.sum pins every byte.
#
# `go install package@version` cannot build BuildKit (its go.mod has `exclude` lines), and no image registry or release
# page is needed this way.

# setup_buildkit: prints the directory that holds buildctl and buildkitd.
setup_buildkit() {
  local module=$CI_DIR/buildkit key version
  need_commands "BuildKit" go
  version=$(buildkit_version)
  key=$(content_key "$(go env GOVERSION GOARCH)" "$module/go.mod" "$module/go.sum" "$CI_DIR/lib/buildkit.sh")
  cached buildkit "$key" \
    "BuildKit $version" "Go modules and the compiler, 3 minutes on 2 cores when Go has cached nothing" make_buildkit
}

buildkit_version() { sed -n 's|^.*github.com/moby/buildkit \(v[0-9.]*\).*$|\1|p' "$CI_DIR/buildkit/go.mod"; }

make_buildkit() {
  local out=$1 version
  version=$(buildkit_version)
  # -buildvcs=false: the binaries depend on the pinned modules alone, not on the state of this checkout.
  cd -- "$CI_DIR/buildkit" || return
  CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false \
    -ldflags "-s -w -X github.com/moby/buildkit/version.Version=$version" \
    -o "$out/" github.com/moby/buildkit/cmd/buildctl github.com/moby/buildkit/cmd/buildkitd || return
  "$out/buildctl" --version | grep -F " $version "
}
