user=
unit=assay-host.service

removing() {
    # Nobody would refresh the revocation list from here on: sshd must stop trusting what it revokes. Local keys stay.
    if [ -e /var/lib/assay-host ]; then
        assay-host purge
    fi
}

purged() {
    rm -rf /var/lib/assay-host
}
