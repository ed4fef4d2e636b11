#!/usr/bin/env bash
# Runs h2spec against a built node, without TLS (prior knowledge) and over TLS, and compares with conformance/h2spec.txt.
#
#   conformance/h2spec.sh BINARY             run; fail when a case fails that is not listed, or a listed one passes
#   conformance/h2spec.sh BINARY SECTION…    run these sections and print what h2spec says
#   conformance/h2spec.sh --there            only look whether there is an h2spec
#
# The h2spec is the one in PATH, or H2SPEC=path. The node and an origin run on free ports.
set -euo pipefail
known=$(dirname "$0")/h2spec.txt

die() { printf 'h2spec: %s\n' "$*" >&2; exit 2; }

h2spec=$(command -v "${H2SPEC:-h2spec}") ||
    die "there is none; go install github.com/summerwind/h2spec/cmd/h2spec@latest, then put it in PATH or name it by H2SPEC=path"
[ "${1:?BINARY or --there}" != --there ] || exit 0

binary=$1
shift
dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$dir"' EXIT

# Starts the binary with arguments and waits for its `ready` line, which is left in `ready`.
start() {
    mkfifo "$dir/said"
    LITTORAL_LOG=off "$binary" "$@" >"$dir/said" &
    pids+=($!)
    read -r -t 30 ready <"$dir/said" || die "$binary $1 does not start"
    rm "$dir/said"
}

# The port behind a name in the `ready` line.
port() { [[ " $ready" =~ \ $1=[0-9.]+:([0-9]+) ]] && echo "${BASH_REMATCH[1]}"; }

mkdir "$dir/www"
# More than a window of 65,535 bytes, and text: h2spec narrows windows and looks at pieces.
seq 20000 >"$dir/www/index.html"
start origin --dir "$dir/www"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null || die "openssl could not make a certificate"
cat >"$dir/node.toml" <<CONFIG
[listen]
http = [{ bind = "127.0.0.1:0", h2c = true }]
https = [{ bind = "127.0.0.1:0", cert = "cert.pem", key = "key.pem" }]
[[site]]
hosts = ["*"]
origin = ["http://127.0.0.1:$(port http)"]
CONFIG
start run -c "$dir/node.toml"

# h2spec fails where one case does; what that means is said below.
run() {
    local transport=$1
    shift
    "$h2spec" --strict --timeout 10 --path /index.html --junit-report "$dir/$transport.xml" "$@" >"$dir/$transport.txt" || true
    [ -s "$dir/$transport.xml" ] || { cat "$dir/$transport.txt"; die "h2spec did not run"; }
}
run plain --port "$(port http)" "$@"
run tls --tls --insecure --port "$(port https)" "$@"
if [ $# -gt 0 ]; then
    cat "$dir/plain.txt" "$dir/tls.txt"
    exit 0
fi

# A case that passed has nothing between its tags.
lines() { sed -n "s/^ *<testcase package=\"\([^\"]*\)\" classname=\"\([^\"]*\)\" time=\"[^\"]*\">$2.*/$1 \1 \2/p" "$dir/$1.xml"; }
least=$(sed -n 's/^cases //p' "$known")
failed=
for transport in plain tls; do
    lines $transport '' | LC_ALL=C sort -u >"$dir/all"
    lines $transport '<\/testcase>' | LC_ALL=C sort -u >"$dir/passed"
    { grep "^$transport " "$known" || true; } | LC_ALL=C sort >"$dir/known"
    LC_ALL=C comm -23 "$dir/all" "$dir/passed" >"$dir/failing"
    echo "h2spec, $transport: $(wc -l <"$dir/passed") of $(wc -l <"$dir/all") passed"
    [ "$(wc -l <"$dir/all")" -ge "$least" ] || { echo "  fewer cases than the $least there should be"; failed=1; }
    while read -r line; do
        echo "  regression: $line"
        failed=1
    done < <(LC_ALL=C comm -23 "$dir/failing" "$dir/known")
    while read -r line; do
        echo "  passes, or is not there any more; take it out of h2spec.txt: $line"
        failed=1
    done < <(LC_ALL=C comm -13 "$dir/failing" "$dir/known")
    # What h2spec saw instead of what it expected.
    [ -z "$failed" ] || sed -n '/^Failures/,$p' "$dir/$transport.txt"
done
exit ${failed:-0}
