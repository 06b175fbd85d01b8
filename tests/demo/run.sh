#!/usr/bin/env bash
# The main job, end to end, on this machine's loopback: real swtpm, real sshd, real ssh; nothing of the machine's own is touched.
# Exit 0 only if every step did what it should.
set -euo pipefail
cd "$(dirname "$0")/../.."
# sshd's trust is root's: its files, and the folders above them, must be writable by root alone.
if [ "$(id -u)" -ne 0 ]; then
    echo "the demo runs private sshds, which want root: asking sudo"
    exec sudo --preserve-env=CARGO_TARGET_DIR,TERM bash "$PWD/tests/demo/run.sh"
fi
# shellcheck source=tests/demo/lib.sh
. tests/demo/lib.sh
begin

chapter "1. A nexus, its first admin, an operator"
for d in a b; do start_tpm "$d"; done
start_nexus
step "the bootstrap token lies in a 0600 file; it makes the first admin, and the door is shut for good"
token=$(find "$W/nexus" -name 'bootstrap*' -type f | head -n 1)
[ "$(stat -c %a "$token")" = 600 ] || fail "the token file is not 0600"
cp "$token" "$W/again"
run as admin bootstrap --no-passphrase --name "Ada Admin" "$token"
refused 2 as late bootstrap --no-passphrase --name "Too Late" "$W/again"
run as admin tenant create acme
step "an operator joins by invite, with a key of their own"
as admin invite create --tenant acme --role operator --name "Olga Operator" -o json >"$W/invite.json"
json "$W/invite.json" token >"$W/invite"
run as olga join --no-passphrase "$W/invite"
operator=$(as olga whoami -o json | json - operator_id)

chapter "2. Two DPUs enrol: each proves that its TPM holds its keys"
for d in a b; do
    step "dpu-$d: a claim for its serial number, then enrolment with credential activation and a first proof"
    as admin dpu claim --tenant acme --name "dpu-$d" --serial "DEMO-${d^^}" -o json >"$W/claim-$d.json"
    json "$W/claim-$d.json" items 0 token >"$W/claim-$d"
    chmod 600 "$W/claim-$d"
    start_agent "$d"
    await "dpu-$d is enrolled" dpu_is "$d" lifecycle pending
done
step "only the serial was known, so both are pending: they may prove, and receive nothing, until an admin confirms them"
for d in a b; do run as admin dpu confirm "dpu-$d" --reason "serial number compared with the label"; done
step "a machine known to be good gives the Reference Values; from now on proofs are judged by them"
run as admin reference take --dpu dpu-a --name good
for d in a b; do
    as admin dpu demand "dpu-$d" --reason "first proof against reference values" --wait >/dev/null || true
    await "dpu-$d is verified and fresh" dpu_is "$d" attestation verified
done
run as admin dpu list

chapter "3. Trust reaches the hosts' sshd, through the DPUs"
run as admin ssh-ca create --tenant acme cluster
for d in a b; do
    start_sshd "$d"
    step "host-$d: pairs with dpu-$d; an admin approves, the nexus signs, the file goes to the host by hand"
    host "$d" init --login "$LOGIN_NAME" --out "$W/host-$d/request"
    run as admin host pair --dpu "dpu-$d" --name "host-$d" --principal "host-$d.demo" "$W/host-$d/request" --out "$W/host-$d/pairing"
    host "$d" pair "$W/host-$d/pairing"
    start_host "$d"
    run as admin push --ca cluster "dpu-$d" --wait
done
step "the operator gets an explicit, expiring grant for host-a, and nothing else"
run as admin grant create --operator "$operator" --ca cluster --host host-a --login "$LOGIN_NAME" --expires 1d
for who in olga admin; do key "$who"; done
step "a certificate for host-a, and the client's own trust"
run as olga cert sign --ca cluster --host host-a --login "$LOGIN_NAME" "$W/olga-key.pub"
run as olga ssh trust --ca cluster --dir "$W/trust"
works "the login at host-a" login olga a
fails "the same certificate at host-b" login olga b
step "without a grant for host-b there is no such host to her: nothing is said of what she may not reach"
refused 4 as olga cert sign --ca cluster --host host-b --login "$LOGIN_NAME" "$W/olga-key.pub"
run as admin cert sign --ca cluster --host host-b --login "$LOGIN_NAME" "$W/admin-key.pub"
works "the admin's login at host-b" login admin b
step "a secret for dpu-a leaves only under a fresh proof, sealed to a key that this proof vouches for"
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$W/secret"
run as admin secret put --dpu dpu-a --name fabric-key "$W/secret"
await "dpu-a holds the secret in locked memory" secret_is a fabric-key "$W/secret"

as admin audit export "$W/log.early" >/dev/null

chapter "4. A measured component of machine A changes"
cp "$(host_certificate a)" "$W/host-a-cert.pub"
step "PCR 7 of dpu-a's TPM is extended: what boots there now is something else"
extend_pcr a
await "its next proof fails" dpu_is a attestation failed
run as admin status dpu-a
refused 3 as olga cert sign --ca cluster --host host-a --login "$LOGIN_NAME" "$W/olga-key.pub"
refused 3 as admin cert sign --ca cluster --host host-a --login "$LOGIN_NAME" --force-bypass "no bypass exists for a failed device" "$W/admin-key.pub"
await "the certificate that names only host-a is revoked" certificate_is_revoked
await "host-a refuses the login" not login olga a
run as olga ssh trust --ca cluster --dir "$W/trust"
step "its host certificate is revoked, too: a client that meets it again refuses the host"
fails "host-a's certificate under the client's list" ssh-keygen -Q -f "$W/trust/revoked_host_keys" "$W/host-a-cert.pub"
fails "the client at host-a" login olga a
await "dpu-a wiped the secret" not secret_is a fabric-key "$W/secret"
works "the login at host-b, which is untouched" login admin b

chapter "5. Machine B falls silent"
stop "agent-b"
step "the window of one minute passes without a proof"
await "dpu-b is stale" dpu_is b attestation stale
refused 3 as admin cert sign --ca cluster --host host-b --login "$LOGIN_NAME" "$W/admin-key.pub"
step "a super:admin answers for it, with a reason: one use, the shortest lifetime, in the log as a warning"
run as admin cert sign --ca cluster --host host-b --login "$LOGIN_NAME" --force-bypass "dpu-b is being serviced in rack 7" "$W/admin-key.pub"
works "the login at host-b by bypass" login admin b
as admin audit list -o json >"$W/audit.json"
grep -q "dpu-b is being serviced in rack 7" "$W/audit.json" || fail "the bypass is not in the audit log"

chapter "6. Nobody rewrites the log unnoticed"
step "dpu-a keeps the last head of the log that it saw"
cp "$W/agent-a/state/audit-head" "$W/head"
as admin audit export "$W/log"
as admin audit key >"$W/log.key"
run as admin audit verify "$W/log" --key "$W/log.key" --head "$W/head"
tamper byte "$W/log" "$W/log.byte"
refused 1 as admin audit verify "$W/log.byte" --key "$W/log.key" --head "$W/head"
tamper row "$W/log" "$W/log.row"
refused 1 as admin audit verify "$W/log.row" --key "$W/log.key" --head "$W/head"
tamper tail "$W/log" "$W/log.tail"
refused 1 as admin audit verify "$W/log.tail" --key "$W/log.key" --head "$W/head"
step "the log as it was before, whole and signed, put back in place of today's: only a head kept elsewhere shows it"
run as admin audit verify "$W/log.early" --key "$W/log.key"
refused 1 as admin audit verify "$W/log.early" --key "$W/log.key" --head "$W/head"

done_well
