#!/bin/sh
# Installs what the firmware bundle brought, starts the agent, and takes itself away. It may run again after a failure.
set -eu
dir=${ASSAY_FIRST_BOOT:-/var/lib/assay-first-boot}
have_systemd() { [ -d /run/systemd/system ]; }

# apt brings what the image lacks, where there is a network; dpkg alone does where nothing is missing.
export DEBIAN_FRONTEND=noninteractive
dpkg --force-confold -i "$dir/assay-agent.deb" || {
    apt-get update -q
    apt-get install -y -q --no-install-recommends -f
}
[ ! -f "$dir/agent.toml" ] || install -m 0644 "$dir/agent.toml" /etc/assay/agent.toml

if [ -f "$dir/claim" ]; then
    # In the agent's own directory, so that it can remove the file once the claim is spent.
    install -d -m 0700 -o assay-agent -g assay-agent /var/lib/assay-agent
    install -m 0600 -o assay-agent -g assay-agent "$dir/claim" /var/lib/assay-agent/claim
    grep -qE '^claim_file *=' /etc/assay/agent.toml || {
        # Before the first table: a key after one would belong to it.
        sed '1i claim_file = "/var/lib/assay-agent/claim"' /etc/assay/agent.toml >/etc/assay/agent.toml.new
        chmod 0644 /etc/assay/agent.toml.new
        mv /etc/assay/agent.toml.new /etc/assay/agent.toml
    }
    shred -u "$dir/claim"
fi

if have_systemd; then
    systemctl enable --now assay-agent.service
    systemctl disable assay-first-boot.service
else
    ln -sf /usr/lib/systemd/system/assay-agent.service /etc/systemd/system/multi-user.target.wants/assay-agent.service
    rm -f /etc/systemd/system/multi-user.target.wants/assay-first-boot.service
fi
rm -rf "$dir" /etc/systemd/system/assay-first-boot.service
