# What the demo's steps are made of. Everything lives in one temporary folder and on free loopback ports.

BIN=${CARGO_TARGET_DIR:-target}/debug
LOGIN_NAME=$(id -un)
STARTED=$SECONDS

begin() {
    for program in assay-nexus assay-agent assay-host assay; do
        [ -x "$BIN/$program" ] || { echo "$BIN/$program is missing: make build" >&2; exit 1; }
    done
    BIN=$(cd "$BIN" && pwd)
    PATH=/usr/sbin:/sbin:$PATH
    W=$(mktemp -d /run/assay-demo.XXXXXX)
    chmod 755 "$W"
    trap clean EXIT
    trap 'exit 130' INT TERM
    PORTS=$(python3 - <<'P'
import socket
held = [socket.socket() for _ in range(12)]
for s in held: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in held])
P
)
    # shellcheck disable=SC2206
    PORTS=($PORTS)
}

clean() {
    status=$?
    set +e
    trap - EXIT
    for pid in "$W"/*.pid; do [ -e "$pid" ] && kill "$(cat "$pid")" 2>/dev/null; done
    sleep 0.3
    for pid in "$W"/*.pid; do [ -e "$pid" ] && kill -9 "$(cat "$pid")" 2>/dev/null; done
    if [ "$status" -ne 0 ]; then
        keep="${TMPDIR:-/tmp}/assay-demo-failed.$$"
        mkdir -p "$keep" && cp "$W"/*.log "$keep"/ 2>/dev/null
        printf '\n\033[1mThe demo failed.\033[0m The logs are in %s\n' "$keep"
        for log in "$W"/*.log; do printf -- '--- %s\n' "$(basename "$log")"; tail -n 6 "$log"; done
    fi
    rm -rf "$W"
    exit "$status"
}

chapter() { printf '\n\033[1m%s\033[0m\n' "$*"; }
step() { printf '  - %s\n' "$*"; }
fail() { printf '\n    FAILED: %s\n' "$*" >&2; exit 1; }

# Programs.
as() { local who=$1; shift; ASSAY_HOME="$W/home-$who" "$BIN/assay" "$@" </dev/null; }
host() { local d=$1; shift; "$BIN/assay-host" --config "$W/host-$d/host.toml" "$@"; }
show() { printf '    $ '; if [ "$1" = as ]; then printf 'assay'; shift 2; fi; printf ' %s' "${@//$W/…}"; printf '\n'; }

run() {
    show "$@"
    "$@" >"$W/out" 2>"$W/err" || { cat "$W/out" "$W/err"; fail "exit $?: $*"; }
    sed 's/^/      /' "$W/out"
}

# The command must end with this exit code.
refused() {
    local want=$1 got=0; shift
    show "$@"
    "$@" >"$W/out" 2>"$W/err" || got=$?
    sed 's/^/      /' "$W/out" "$W/err"
    [ "$got" -eq "$want" ] || fail "exit $got, expected $want: $*"
    printf '      (exit %s, as it should)\n' "$got"
}

good() { printf '    \033[32m✓\033[0m %s\n' "$*"; }
works() { local what=$1; shift; "$@" || fail "this should work: $what: $(tail -n 5 "$W/ssh.log")"; good "$what: it works"; }
fails() { local what=$1; shift; if "$@" >/dev/null; then fail "this should be refused: $what"; fi; good "$what: refused"; }
not() { ! "$@"; }

await() {
    local what=$1 end=$((SECONDS + 100)) from=$SECONDS; shift
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "this did not happen within 100 s: $what"
        sleep 0.5
    done
    good "$what (after $((SECONDS - from)) s)"
}

json() {
    python3 -c '
import json, sys
v = json.load(sys.stdin if sys.argv[1] == "-" else open(sys.argv[1]))
for k in sys.argv[2:]: v = v[int(k)] if isinstance(v, list) else v[k]
print(v)' "$@"
}

background() {
    local name=$1; shift
    "$@" >"$W/$name.log" 2>&1 </dev/null &
    echo $! >"$W/$name.pid"
}

stop() {
    local pid; pid=$(cat "$W/$1.pid")
    kill "$pid"; wait "$pid" 2>/dev/null || true
    rm -f "$W/$1.pid"
}

start_nexus() {
    mkdir -m 700 "$W/nexus"
    cat >"$W/nexus.toml" <<C
data_dir = "$W/nexus"
listen = ["127.0.0.1:${PORTS[0]}"]
public_urls = ["https://localhost:${PORTS[0]}"]
# The shortest window there is, so that the demo need not wait a quarter of an hour.
stale_after = "1m"
# Whoever made the TPMs. Without it an endorsement key would be taken on first use, and results would say so.
[[anchors]]
for = "ek"
by = "operator"
file = "$W/tpm-ca/issuercert.pem"
C
    background nexus "$BIN/assay-nexus" serve --config "$W/nexus.toml"
    await "the nexus is ready" curl -skf -o /dev/null "https://localhost:${PORTS[0]}/ready"
}

port_of() { case "$1-$2" in tpm-a) echo "${PORTS[1]}" ;; tpm-b) echo "${PORTS[3]}" ;; sshd-a) echo "${PORTS[5]}" ;; sshd-b) echo "${PORTS[6]}" ;; esac; }

start_tpm() {
    local d=$1 port; port=$(port_of tpm "$d")
    step "a software TPM for dpu-$d, with an endorsement certificate from its manufacturer"
    mkdir -p "$W/tpm-$d"
    # The control port must be the next one: take a pair that is free.
    port=$(python3 - <<'P'
import socket
while True:
    a = socket.socket(); a.bind(("127.0.0.1", 0)); p = a.getsockname()[1]
    b = socket.socket()
    try: b.bind(("127.0.0.1", p + 1)); print(p); break
    except OSError: pass
P
)
    echo "$port" >"$W/tpm-$d.port"
    mkdir -p "$W/tpm-ca"
    [ -e "$W/tpm-ca/setup.conf" ] || cat >"$W/tpm-ca/setup.conf" <<C
create_certs_tool = /usr/bin/swtpm_localca
create_certs_tool_config = $W/tpm-ca/localca.conf
create_certs_tool_options = $W/tpm-ca/options
active_pcr_banks = sha256
C
    cat >"$W/tpm-ca/localca.conf" <<C
statedir = $W/tpm-ca
signingkey = $W/tpm-ca/signkey.pem
issuercert = $W/tpm-ca/issuercert.pem
certserial = $W/tpm-ca/certserial
C
    printf -- '--platform-manufacturer Assay\n--platform-version 1\n--platform-model demo\n' >"$W/tpm-ca/options"
    swtpm_setup --tpm2 --config "$W/tpm-ca/setup.conf" --tpmstate "$W/tpm-$d" --createek --create-ek-cert --ecc \
        --pcr-banks sha256 --overwrite --logfile "$W/tpm-$d-setup.log" >/dev/null || fail "swtpm_setup: $(tail -n 3 "$W/tpm-$d-setup.log")"
    background "tpm-$d" swtpm socket --tpm2 --tpmstate dir="$W/tpm-$d" --server type=tcp,port="$port",bindaddr=127.0.0.1 \
        --ctrl type=tcp,port=$((port + 1)),bindaddr=127.0.0.1 --flags not-need-init,startup-clear
    await "the TPM answers" tpm_answers "$port"
}

tpm_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$(($1 + 1))") 2>/dev/null; }

start_agent() {
    local d=$1
    mkdir -p -m 700 "$W/agent-$d"
    cat >"$W/agent-$d.toml" <<C
state = "$W/agent-$d/state"
socket = "$W/agent-$d/agent.sock"
claim_file = "$W/claim-$d"
serial = "DEMO-${d^^}"
model = "demo"
[tpm]
tcti = "swtpm:host=127.0.0.1,port=$(cat "$W/tpm-$d.port")"
[hosts]
listen = ["unix:$W/agent-$d/hosts.sock"]
C
    background "agent-$d" "$BIN/assay-agent" --config "$W/agent-$d.toml" run
}

dpu_is() { [ "$(as admin dpu show "dpu-$1" -o json 2>/dev/null | json - "$2" 2>/dev/null)" = "$3" ]; }

# A sshd of our own: own keys, own configuration, own port, this user only.
start_sshd() {
    local d=$1 port; port=$(port_of sshd "$d")
    mkdir -p "$W/host-$d/ssh/drop"
    chmod 755 "$W/host-$d" "$W/host-$d/ssh"
    ssh-keygen -q -t ed25519 -N '' -C "host-$d" -f "$W/host-$d/ssh/host_key"
    # Without PAM, sshd lets nobody in whose password is locked; with it, keys and certificates still count.
    local PAM=no
    case "$(getent shadow "$LOGIN_NAME" | cut -d: -f2)" in '!'*) PAM=yes ;; esac
    cat >"$W/host-$d/ssh/sshd_config" <<C
Include $W/host-$d/ssh/drop/*.conf
Port $port
ListenAddress 127.0.0.1
HostKey $W/host-$d/ssh/host_key
PidFile $W/host-$d/ssh/sshd.pid
UsePAM $PAM
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AuthorizedKeysFile none
C
    mkdir -p /run/sshd
    background "sshd-$d" /usr/sbin/sshd -D -e -f "$W/host-$d/ssh/sshd_config"
    cat >"$W/host-$d/host.toml" <<C
state = "$W/host-$d/state"
[dpu]
address = "unix:$W/agent-$d/hosts.sock"
[sshd]
config = "$W/host-$d/ssh/sshd_config"
drop_in = "$W/host-$d/ssh/drop/00-assay.conf"
directory = "$W/host-$d/ssh/assay"
host_key = "$W/host-$d/ssh/host_key.pub"
address = "127.0.0.1"
port = $port
C
}

host_certificate() { find "$W/host-$1/ssh/assay" -name host-cert.pub | head -n 1; }

start_host() { background "host-$1" "$BIN/assay-host" --config "$W/host-$1/host.toml" run; }

key() { ssh-keygen -q -t ed25519 -N '' -C "$1" -f "$W/$1-key"; }

login() {
    local who=$1 d=$2
    ssh -F none -p "$(port_of sshd "$d")" -i "$W/$who-key" -o CertificateFile="$W/$who-key-cert.pub" -o IdentitiesOnly=yes \
        -o BatchMode=yes -o StrictHostKeyChecking=yes -o HostKeyAlias="host-$d.demo" -o GlobalKnownHostsFile=none \
        -o UserKnownHostsFile="$W/trust/known_hosts" -o RevokedHostKeys="$W/trust/revoked_host_keys" -o ConnectTimeout=10 \
        "$LOGIN_NAME@127.0.0.1" true >"$W/ssh.log" 2>&1
}

secret_is() { "$BIN/assay-agent" --config "$W/agent-$1.toml" secret "$2" 2>/dev/null | cmp -s - "$3"; }

# What a changed boot component does to a TPM. The agent is away from a software TPM, which serves one at a time, while it rests.
extend_pcr() {
    local digest; digest=$(printf 'another boot loader' | sha256sum | cut -d' ' -f1)
    TPM2TOOLS_TCTI="swtpm:host=127.0.0.1,port=$(cat "$W/tpm-$1.port")" timeout 30 tpm2_pcrextend "7:sha256=$digest" ||
        fail "the PCR can't be extended"
}

certificate_is_revoked() {
    as admin cert list -o json | python3 -c '
import json, sys
items = json.load(sys.stdin)["items"]
user = [c for c in items if c["kind"] == "user" and c["state"] == "revoked"]
sys.exit(0 if user else 1)'
}

# An export is JSON lines. One byte, one row, or the tail.
tamper() {
    python3 - "$@" <<'P'
import sys
how, source, target = sys.argv[1:]
lines = open(source).read().splitlines(keepends=True)
middle = len(lines) // 2
if how == "byte":
    line = lines[middle]
    at = len(line) // 2
    while not line[at].isalnum(): at += 1
    lines[middle] = line[:at] + ("A" if line[at] != "A" else "B") + line[at + 1:]
elif how == "row":
    del lines[middle]
else:
    # The newest entries go; the signed checkpoint, the last line, stays.
    lines = lines[:middle] + lines[-1:]
open(target, "w").writelines(lines)
P
}

done_well() { printf '\n\033[1mEvery step did what it should, in %s seconds.\033[0m\n' $((SECONDS - STARTED)); }
