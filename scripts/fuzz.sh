#!/usr/bin/env bash
# Runs every fuzz target from its seeds, two at a time. Called by the Makefile:
#   scripts/fuzz.sh DIRECTORY SECONDS SEED [TARGET…]   builds into DIRECTORY, runs each target (or those named) so long
# SEED 0 stands for another one each time; with a fixed one a fresh clone tries the same inputs in the same order.
# Coverage-guided without a sanitizer: that works with the stable compiler and without cargo-fuzz, and there is little unsafe to
# sanitize. The flags are those of `cargo fuzz build --sanitizer none`. All crates build into one directory with the versions of
# the workspace's Cargo.lock, so that what they share is compiled once.
set -euo pipefail
cd "$(dirname "$0")/.."

directory=$1 seconds=$2 seed=$3
shift 3
wanted=("$@")
triple=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

export CARGO_TARGET_DIR=$directory
# Named, so that flags are for the target only and build scripts are compiled without them.
export CARGO_BUILD_TARGET=$triple
coverage=-Cllvm-args=-sanitizer-coverage
export RUSTFLAGS="-Cpasses=sancov-module $coverage-level=4 $coverage-inline-8bit-counters $coverage-pc-table \
$coverage-trace-compares --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1"

is_wanted() {
    [ ${#wanted[@]} = 0 ] && return
    local name
    for name in "${wanted[@]}"; do [ "$name" = "$1" ] && return; done
    return 1
}

# One target: corpus and seeds are read, what is found goes to the corpus, a crash into artifacts/ beside it.
run() {
    local crate=$1 target=$2
    mkdir -p "$crate/corpus/$target" "$crate/seeds/$target" "$crate/artifacts/$target"
    "$directory/$triple/release/$target" "$crate/corpus/$target" "$crate/seeds/$target" \
        -seed="$seed" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$crate/artifacts/$target/" >"$directory/$target.log" 2>&1
}

report() {
    local target=$1 runs
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$directory/$target.log")
    printf 'fuzz: %-14s %s runs, no failure\n' "$target" "$runs"
}

jobs=()
for manifest in */fuzz/Cargo.toml */*/fuzz/Cargo.toml; do
    crate=$(dirname "$manifest")
    targets=()
    for source in "$crate"/fuzz_targets/*.rs; do
        target=$(basename "$source" .rs)
        is_wanted "$target" && targets+=("$target")
    done
    [ ${#targets[@]} = 0 ] && continue
    [ "$crate/Cargo.lock" -nt Cargo.lock ] || cp Cargo.lock "$crate/Cargo.lock"
    started=$SECONDS
    cargo build --quiet --release --manifest-path "$manifest" "${targets[@]/#/--bin=}"
    printf 'fuzz: %s built in %d s\n' "$crate" $((SECONDS - started))
    for target in "${targets[@]}"; do jobs+=("$crate $target"); done
done
[ ${#jobs[@]} -gt 0 ] || { echo "fuzz: no such target: ${wanted[*]}" >&2; exit 1; }

failed=()
for ((i = 0; i < ${#jobs[@]}; i += 2)); do
    pids=()
    for job in "${jobs[@]:i:2}"; do
        # shellcheck disable=SC2086 # a crate and a target
        run $job &
        pids+=($!)
    done
    for ((j = 0; j < ${#pids[@]}; j++)); do
        read -r crate target <<<"${jobs[i + j]}"
        if wait "${pids[j]}"; then
            report "$target"
        else
            failed+=("$target")
            tail -n 25 "$directory/$target.log" >&2
            printf 'fuzz: %s FAILED; the input is in %s\n' "$target" "$crate/artifacts/$target" >&2
        fi
    done
done
[ ${#failed[@]} = 0 ]
