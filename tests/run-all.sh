#!/usr/bin/env bash
# Runs every test of this repository and installs what the tests need.
#
#     tests/run-all.sh                  everything
#     tests/run-all.sh walk browser     only these of: format lints tests servers docs examples walk browser
#
# Needs a Rust toolchain; the rest (Python, Chromium, Node, Redis, NATS, a C compiler) comes from apt if it is missing, Django from pip.
# The services of a Redis or NATS that it installs are stopped and disabled; the tests start servers of their own.
# The last line counts the steps: "N passed, N failed". Logs and screenshots are left in target/tests/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# One folder and one set of flags for every cargo call, so that nothing is built twice.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
readonly OUT="$CARGO_TARGET_DIR/tests"
readonly VENV="$OUT/venv"
# A test that runs longer than this hangs: its name is printed and it has failed. Some take 60 s on a busy machine.
readonly TEST_LIMIT_SECS=120
# Some tests with servers wait through outages of 30 to 100 seconds, four of them at once.
readonly SERVERS_TEST_LIMIT_SECS=240
readonly SECTIONS=(format lints tests servers docs examples walk browser)

main() {
    [[ $# -gt 0 ]] || set -- "${SECTIONS[@]}"
    local name
    for name in "$@"; do
        [[ " ${SECTIONS[*]} " == *" $name "* ]] || fail "no section is called '$name', only: ${SECTIONS[*]}"
    done

    trap summary EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mkdir -p "$OUT"
    prepare tools
    prepare python_packages
    for name in "$@"; do
        section "$name"
    done
}

# --- what the tests need ---------------------------------------------------------------------------------------------

tools() {
    command -v cargo >/dev/null || fail "cargo is missing: install Rust, https://rustup.rs"
    cargo fmt --version || fail "rustfmt is missing: run 'rustup component add rustfmt'"
    cargo clippy --version || fail "clippy is missing: run 'rustup component add clippy'"

    local packages=()
    command -v cc >/dev/null || packages+=(gcc libc6-dev)
    python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3 python3-venv)
    command -v chromium >/dev/null || packages+=(chromium)
    command -v chromedriver >/dev/null || packages+=(chromium-driver)
    command -v node >/dev/null || packages+=(nodejs)
    NODE_PATH=/usr/share/nodejs node -e 'require("ws")' 2>/dev/null || packages+=(node-ws)
    # Debian has nats-server there, which is not in everybody's PATH.
    PATH=$PATH:/usr/sbin
    local name services=()
    for name in redis-server nats-server; do
        command -v "$name" >/dev/null || services+=("$name")
    done
    packages+=("${services[@]}")
    [[ ${#packages[@]} -eq 0 ]] || apt_install "${packages[@]}"
    [[ ${#services[@]} -eq 0 ]] || no_services "${services[@]}"

    cc -dumpmachine
    python3 --version
    redis-server --version
    redis-cli --version
    nats-server --version
    chromium --version 2>/dev/null
    chromedriver --version
    node --version
}

apt_install() {
    local as_root=()
    command -v apt-get >/dev/null || fail "there is no apt-get here, so install these by hand: $*"
    if [[ $EUID -ne 0 ]]; then
        command -v sudo >/dev/null || fail "there is no sudo here, so run this as root: apt-get install $*"
        as_root=(sudo)
    fi

    echo "installing $*"
    "${as_root[@]}" apt-get update -qq || fail "apt-get update failed; needed are: $*"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >"$OUT/apt.log" 2>&1 \
        || { tail -n 20 "$OUT/apt.log"; fail "apt-get could not install: $*"; }
}

# Debian's packages start their servers, now and with the machine. The tests start their own. Only what was just installed is
# stopped.
no_services() {
    local name as_root=()
    [[ $EUID -eq 0 ]] || as_root=(sudo)
    if [[ -d /run/systemd/system ]]; then
        "${as_root[@]}" systemctl disable --quiet --now "$@" || fail "systemctl could not end and disable: $*"
        return
    fi
    for name in "$@"; do
        [[ ! -x /etc/init.d/$name ]] || "${as_root[@]}" "/etc/init.d/$name" stop >/dev/null || fail "could not end $name"
    done
}

python_packages() {
    local stamp
    stamp="$(python3 --version) $(sha256sum <tests/requirements.txt)"
    if [[ $(cat "$VENV/stamp" 2>/dev/null) != "$stamp" ]]; then
        rm -rf "$VENV"
        python3 -m venv "$VENV"
        "$VENV/bin/pip" install --quiet --requirement tests/requirements.txt \
            || fail "pip could not install what tests/requirements.txt lists"
        echo "$stamp" >"$VENV/stamp"
    fi
    "$VENV/bin/pip" freeze | grep -iE '^(aiohttp|channels|channels_redis|daphne|django|redis|selenium|uvicorn|websockets)='
}

# --- the sections ----------------------------------------------------------------------------------------------------

format() {
    cargo fmt --all --check
}

lints() {
    for_each_feature_set cargo clippy --locked --all-targets --FEATURES -- -D warnings
}

tests() {
    for_each_feature_set cargo test --config "$(watchdog "$TEST_LIMIT_SECS")" --locked --no-fail-fast \
        --lib --bins --tests --examples --FEATURES
    for_each_feature_set cargo test --locked --doc --FEATURES
}

# What needs Redis, NATS or Django: each of these tests starts its own, and prints what it counted. Most of the time they wait,
# so several may do so at once on however few cores.
servers() {
    STRAIT_PYTHON="$VENV/bin/python" cargo test --config "$(watchdog "$SERVERS_TEST_LIMIT_SECS")" --locked --no-fail-fast \
        --lib --bins --tests --examples --all-features -- --ignored --show-output --test-threads=4
}

# The setting for cargo that runs each test binary under the watchdog.
watchdog() {
    echo "target.'cfg(all())'.runner = ['python3', '$PWD/tests/watchdog.py', '$1']"
}

docs() {
    RUSTDOCFLAGS="-D warnings" for_each_feature_set cargo doc --locked --no-deps --FEATURES
}

examples() {
    # First, so that what is built by default is what stays under its name.
    local built="$CARGO_TARGET_DIR/release/examples"
    cargo build --locked --release --features deflate,redis \
        --example hub --example order_tracking --example beside_django
    cp "$built/hub" "$built/hub-deflate"
    cp "$built/order_tracking" "$built/order_tracking-redis"
    cargo build --locked --release --examples
}

walk() {
    python_test walk
}

browser() {
    python_test browser
}

# Runs the command once for each set of features that differs from the others, with its flag in place of --FEATURES.
for_each_feature_set() {
    local flags flag argument command
    mapfile -t flags < <(feature_flags)
    [[ ${#flags[@]} -gt 0 ]] || fail "cargo metadata names no features"
    [[ ${#flags[@]} -gt 1 ]] || echo "the crate has no features, so one run stands for every set of them"
    for flag in "${flags[@]}"; do
        command=()
        for argument in "$@"; do
            [[ $argument == --FEATURES ]] && argument=$flag
            [[ -z $argument ]] || command+=("$argument")
        done
        echo "+ ${command[*]}"
        "${command[@]}"
    done
}

# The default set is an empty line.
feature_flags() {
    cargo metadata --no-deps --format-version 1 | python3 -c '
import json, sys
features = json.load(sys.stdin)["packages"][0]["features"]
print()
if features.get("default"):
    print("--no-default-features")
if set(features) - {"default"}:
    print("--all-features")
'
}

python_test() {
    cd tests
    PYTHONPYCACHEPREFIX="$OUT/pycache" "$VENV/bin/python" -m "$1" \
        --examples "$CARGO_TARGET_DIR/release/examples" --out "$OUT"
}

# --- running and counting --------------------------------------------------------------------------------------------

passed=0
failed=()
times=()
current=
started=0
group=

# A step without which nothing can be tested: its failure ends the run.
prepare() {
    begin "$1"
    "$1"
    finish 0
}

# A failure here is counted and the run goes on. Each section is a process group of its own, so that whatever it
# started can be ended with it.
section() {
    local status=0
    begin "$1"
    set -m
    "$1" </dev/null &
    group=$!
    set +m
    wait "$group" || status=$?
    finish "$status"
}

begin() {
    current=$1
    started=$SECONDS
    printf '\n=== %s ===\n' "$1"
}

finish() {
    local verdict=passed
    [[ -z $group ]] || kill -TERM -- "-$group" 2>/dev/null || true
    if [[ $1 -eq 0 ]]; then
        passed=$((passed + 1))
    else
        verdict=FAILED
        failed+=("$current")
        echo "FAILED: $current"
    fi
    times+=("$(printf '%5d s  %-16s %s' $((SECONDS - started)) "$current" "$verdict")")
    current=
    group=
}

summary() {
    local status=$?
    [[ -z $current ]] || finish 1
    printf '\n=== time ===\n'
    printf '%s\n' "${times[@]}" "$(printf '%5d s  in all' "$SECONDS")"
    printf '\n%d passed, %d failed\n' "$passed" "${#failed[@]}"
    [[ $status -ne 0 || ${#failed[@]} -eq 0 ]] || status=1
    exit "$status"
}

fail() {
    echo "run-all: $*" >&2
    exit 1
}

main "$@"
