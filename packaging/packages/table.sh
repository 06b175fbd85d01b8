# THE table of packages, sourced by build.sh. A package is one function that sets its words and names its files:
#   file MODE SOURCE DESTINATION     conffile MODE SOURCE DESTINATION     manual PROGRAM SECTION     tree SOURCE DIRECTORY
# `@bin@/x` is a program as built, `@made@/x` what the programs wrote of themselves (man pages, completions).
PACKAGES="assay-agent assay-host assay-nexus assay"

describe_assay_agent() {
    summary="Attester of a DPU: proves the machine and holds its credentials"
    text="The agent gathers TPM and DICE evidence on a DPU or server, proves it to an Assay nexus, and keeps what the nexus releases in
locked memory for as long as the proof is fresh."
    # The TCTI plugin is opened at run time, so that no tool sees it.
    deb_depends="libc6 (>= 2.34), libtss2-esys-3.0.2-0, libtss2-mu0 | libtss2-mu-4.0.1-0, libtss2-tctildr0, libtss2-tcti-device0, passwd, tpm-udev"
    rpm_requires="tpm2-tss shadow-utils"
    file 0755 @bin@/assay-agent /usr/bin/assay-agent
    file 0644 systemd/assay-agent.service /usr/lib/systemd/system/assay-agent.service
    conffile 0644 packaging/agent.toml /etc/assay/agent.toml
    manual assay-agent 8
}

describe_assay_host() {
    summary="Host side of Assay: installs SSH trust that a nexus signed"
    text="assay-host checks the manifest that a nexus signed for this host, makes sshd trust what stands in it, proves that by a trial
login, and puts everything back if that fails."
    deb_depends="libc6 (>= 2.34), openssh-server (>= 1:9.1), openssh-client (>= 1:9.1)"
    rpm_requires="openssh-server openssh-clients"
    file 0755 @bin@/assay-host /usr/bin/assay-host
    file 0644 systemd/assay-host.service /usr/lib/systemd/system/assay-host.service
    conffile 0644 packaging/host.toml /etc/assay/host.toml
    manual assay-host 8
}

describe_assay_nexus() {
    summary="Control plane of Assay: verifies machines, releases credentials"
    text="The nexus verifies Evidence, appraises it against Reference Values, remembers when it did, and releases SSH certificates and
secrets only while a proof is fresh and good. Its state is one directory."
    deb_depends="libc6 (>= 2.34), passwd"
    rpm_requires="shadow-utils"
    file 0755 @bin@/assay-nexus /usr/bin/assay-nexus
    file 0644 systemd/assay-nexus.service /usr/lib/systemd/system/assay-nexus.service
    conffile 0644 packaging/nexus.toml /etc/assay/nexus.toml
    manual assay-nexus 8
}

describe_assay() {
    summary="Command line of Assay: for admins, operators and auditors"
    text="assay talks to an Assay nexus and verifies, offline, audit logs and evidence."
    deb_depends="libc6 (>= 2.34)"
    rpm_requires=""
    file 0755 @bin@/assay /usr/bin/assay
    tree @made@/assay/man1 /usr/share/man/man1
    file 0644 @made@/assay/assay.bash /usr/share/bash-completion/completions/assay
    file 0644 @made@/assay/_assay /usr/share/zsh/vendor-completions/_assay
    file 0644 @made@/assay/assay.fish /usr/share/fish/vendor_completions.d/assay.fish
}
