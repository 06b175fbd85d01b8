#!/usr/bin/env bash
# Makes the bf.cfg with which a BlueField firmware bundle installs the agent: `bfb-install --bfb BUNDLE --config bf.cfg`.
# usage: make-bf-cfg.sh --deb FILE [--config AGENT.TOML] [--claim FILE] --out FILE
#
# The bundle's installer sources bf.cfg and calls bfb_modify_os once the new system is unpacked under /mnt. What is written there
# waits for the first boot, which installs the package, hands the claim to the agent, starts it, and takes itself away.
#
# With --claim the output holds a secret: it is 0600, good for one card, and the claim in it dies with its use or after its day.
# The file that the claim was read from is destroyed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }

deb="" config="" claim="" out=""
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case "$1" in
        --deb) deb=$2 ;;
        --config) config=$2 ;;
        --claim) claim=$2 ;;
        --out) out=$2 ;;
        *) usage ;;
    esac
    shift 2
done
[ -n "$deb" ] && [ -n "$out" ] || usage
[ "$(dpkg-deb --field "$deb" Package)" = assay-agent ] || { echo "\`$deb\` is no package of assay-agent" >&2; exit 1; }
[ "$(dpkg-deb --field "$deb" Architecture)" = arm64 ] || { echo "\`$deb\` is not for arm64, which BlueField is" >&2; exit 1; }
if [ -n "$claim" ]; then
    case "$(stat -c %a "$claim")" in
        600 | 400) ;;
        *) echo "\`$claim\` must be 0600: it is a secret" >&2; exit 1 ;;
    esac
    grep -qE '^assay1\.claim\.[A-Za-z0-9_-]+$' "$claim" || { echo "\`$claim\` holds no claim: \`assay dpu claim\` makes one" >&2; exit 1; }
fi

embed() { # mode destination source
    printf "assay_file %s %s <<'ASSAY_END'\n" "$1" "$2"
    base64 "$3"
    echo ASSAY_END
}
umask 077
{
    cat "$here/modify-os.sh"
    echo 'assay_files() {'
    embed 0600 assay-agent.deb "$deb"
    embed 0700 first-boot.sh "$here/first-boot.sh"
    [ -z "$config" ] || embed 0600 agent.toml "$config"
    [ -z "$claim" ] || embed 0600 claim "$claim"
    echo '}'
} >"$out.new"
mv "$out.new" "$out"
if [ -n "$claim" ]; then
    shred -u "$claim"
    echo "\`$out\` holds the claim of one card: remove it once the card is installed; \`$claim\` is destroyed"
fi
