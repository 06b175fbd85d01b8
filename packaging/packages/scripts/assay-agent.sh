user=assay-agent
unit=assay-agent.service

installed() {
    # Who may use the TPM; the package that brings its udev rules makes the group, too.
    getent group tss >/dev/null || groupadd --system tss
}

purged() {
    # Identity, pins, wrapped keys. Leases were never on disk.
    rm -rf /var/lib/assay-agent /etc/assay/claim
}
