# shellcheck shell=bash
# Root file systems for `FROM scratch` + `ADD root.tar /`: no image registry is reachable where this project is tested.
#
# They are extracted Debian packages with busybox as the user land, not an installed Debian: 2 MB (`base`) and about 100 MB
# with a real gcc (`base-gcc`), made in seconds and moved to a runner by almost every test. No device nodes, so that rootless
# BuildKit can unpack them; the machine's own CA bundle, so that steps with host networking trust what the machine trusts.

CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt

# What no test needs of what Debian's gcc brings: the link-time optimiser, sanitizers, documentation.
BASE_DROPS=(
  usr/share/doc usr/share/info usr/share/initramfs-tools usr/share/lintian usr/share/locale usr/share/man
  'usr/bin/*-lto-dump-*' 'usr/bin/*-dwp' 'usr/bin/*gprofng*' 'usr/bin/*-ld.gold' 'usr/lib/*/gprofng' 'usr/lib/*/libgprofng*'
  'usr/lib/gcc/*/*/lto1' 'usr/lib/gcc/*/*/lib*san*' 'usr/lib/*/lib[ahltu]*san.*'
)

# setup_base_image NAME [PACKAGE…]: prints the directory that holds root.tar, for BASE_ARCHITECTURE where it is not this machine's.
setup_base_image() {
  local name=$1 key
  shift
  [[ -r $CA_BUNDLE ]] || die "no CA bundle at $CA_BUNDLE" "apt-get install ca-certificates"
  BASE_PACKAGES=$(printf '%s,' busybox-static "$@")
  key=$(content_key "$name $BASE_PACKAGES ${BASE_ARCHITECTURE:-$(dpkg --print-architecture)}" "$CA_BUNDLE" "$CI_DIR/lib/base_image.sh")
  cached "image-$name" "$key" "image $name" "mmdebstrap and the Debian mirror, some seconds" make_base_image
}

# make_base_image DIR: fills it, with the packages in BASE_PACKAGES.
make_base_image() {
  local out=$1
  # One time stamp for all files: the same recipe and the same packages give the same bytes.
  SOURCE_DATE_EPOCH=1700000000 mmdebstrap --variant=extract --include="${BASE_PACKAGES%,}" \
    --architectures="${BASE_ARCHITECTURE:-$(dpkg --print-architecture)}" --skip=output/dev \
    --extract-hook="$CI_DIR/lib/base_image_hook \"\$1\" $CA_BUNDLE ${BASE_DROPS[*]@Q}" \
    bookworm "$out/root.tar" || return
  if tar --list --verbose --file "$out/root.tar" | grep '^[bc]'; then
    echo "the tar holds device nodes: rootless BuildKit could not unpack it"
    return 1
  fi
}
