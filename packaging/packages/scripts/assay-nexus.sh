user=assay-nexus
unit=assay-nexus.service

installed() {
    # The unit hands it over as a credential. A nexus that has a database has its key: a new one would only hide that it is lost.
    if [ ! -e /etc/assay/master-key ] && [ ! -e /var/lib/assay-nexus/nexus.db ]; then
        (umask 077 && head -c 32 /dev/urandom >/etc/assay/master-key.new && mv /etc/assay/master-key.new /etc/assay/master-key)
    fi
}

purged() {
    rm -rf /var/lib/assay-nexus /etc/assay/master-key /etc/assay/policy.d
}
