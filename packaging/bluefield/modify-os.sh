# bf.cfg: installs assay-agent at the first boot. The bundle's installer sources this as root, with the new system under /mnt.

assay_root=${ASSAY_ROOT:-/mnt}
assay_dir=$assay_root/var/lib/assay-first-boot

assay_file() { # mode name, base64 on standard input
    (umask 077 && base64 -d >"$assay_dir/$2") && chmod "$1" "$assay_dir/$2"
}

bfb_modify_os() {
    (umask 077 && mkdir -p "$assay_dir") || return 1
    assay_files || return 1
    mkdir -p "$assay_root/etc/systemd/system/multi-user.target.wants"
    cat >"$assay_root/etc/systemd/system/assay-first-boot.service" <<'ASSAY_UNIT'
[Unit]
Description=Installs the Assay agent that came with the firmware bundle
ConditionPathExists=/var/lib/assay-first-boot/first-boot.sh
After=network-online.target
Wants=network-online.target

[Service]
Type=oneshot
ExecStart=/var/lib/assay-first-boot/first-boot.sh
Restart=on-failure
RestartSec=30s
UMask=0077

[Install]
WantedBy=multi-user.target
ASSAY_UNIT
    ln -sf ../assay-first-boot.service \
        "$assay_root/etc/systemd/system/multi-user.target.wants/assay-first-boot.service"
}

