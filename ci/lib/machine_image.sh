# shellcheck shell=bash
# The root of what the simulators' servers are made of: a stock Debian 12 with cloud-init, as clouds have it, and the packages of
# a runner, because no package mirror may be reachable from a container. It starts without systemd: ci/lib/machine_init applies
# the user data by cloud-init's own stages.

# setup_machine_image: prints the directory that holds root.tar.
setup_machine_image() {
  local key
  MACHINE_PACKAGES=$(printf '%s,' cloud-init iptables)$(grep -v '^#' "$ROOT_DIR/runner/packages" | paste -sd,)
  key=$(content_key "$MACHINE_PACKAGES $(dpkg --print-architecture)" "$CI_DIR/lib/machine_image.sh" "$CI_DIR/lib/machine_init")
  cached machine-image "$key" "machine image" "mmdebstrap and the Debian mirror, a minute or two" make_machine_image
}

# make_machine_image DIR: fills it. No host key, machine id or seed: each machine makes or is given its own.
make_machine_image() {
  SOURCE_DATE_EPOCH=1700000000 mmdebstrap --variant=minbase --include="$MACHINE_PACKAGES" --skip=output/dev \
    --customize-hook="mkdir -p \"\$1/usr/lib/lian-sim\" && install -m 0755 '$CI_DIR/lib/machine_init' \"\$1/usr/lib/lian-sim/init\"" \
    --customize-hook="printf 'datasource_list: [NoCloud, None]\\nnetwork: {config: disabled}\\n' >\"\$1/etc/cloud/cloud.cfg.d/90_simulator.cfg\"" \
    --customize-hook="rm -rf \"\$1\"/etc/ssh/ssh_host_* \"\$1\"/usr/share/doc \"\$1\"/usr/share/man \"\$1\"/usr/share/locale && : >\"\$1/etc/machine-id\"" \
    bookworm "$1/root.tar"
}
