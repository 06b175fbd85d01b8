# What the packages' scripts have in common. POSIX sh: dpkg and rpm run it.
# A package's own file sets `user` (empty: none) and `unit`, and may define installed, removing, purged.

have_systemd() { [ -d /run/systemd/system ]; }

# A unit that is not configured yet would only fail: it is enabled by whoever configures it, and restarted by an upgrade.
after_install() { # fresh|upgrade
    if [ -n "$user" ]; then
        getent group "$user" >/dev/null || groupadd --system "$user"
        getent passwd "$user" >/dev/null || useradd --system --gid "$user" --home-dir "/var/lib/$user" --no-create-home \
            --shell /usr/sbin/nologin "$user"
    fi
    installed "$1"
    if [ -n "$unit" ] && have_systemd; then
        systemctl daemon-reload
        [ "$1" = fresh ] || systemctl try-restart "$unit" || true
    fi
}

before_remove() {
    if [ -n "$unit" ] && have_systemd; then
        systemctl --no-reload disable --now "$unit" || true
    fi
    removing
}

after_remove() {
    if [ -n "$unit" ] && have_systemd; then
        systemctl daemon-reload || true
    fi
}

after_purge() {
    purged
    [ -z "$user" ] || ! getent passwd "$user" >/dev/null || userdel "$user" || true
    rmdir /etc/assay 2>/dev/null || true
}

installed() { :; }
removing() { :; }
purged() { :; }
