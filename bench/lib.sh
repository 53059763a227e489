# shellcheck shell=bash
# Shared by the benchmarks, after scripts/lib.sh: one at a time, packages, the build.

: "${program:?}" "${tree:?}" "${state:?}"

prepare() {
    mkdir -p "$state"
    exec 9>"$state/lock"
    flock --nonblock 9 || die "another benchmark is running in this tree"
    # pgbench comes with the server, on Debian.
    # shellcheck disable=SC2154 # from scripts/lib.sh
    need_packages "${build_packages[@]}" "${run_packages[@]}" python3 python3-psycopg
    build_tree "$state/build" "$state/build.log" --enable-werror
    logged 'the build' "$state/build.log" make -C "$state/build" -j "$(nproc)" bench/load bench/normalise
}

# Replaces this process by a Python program of bench/: run_python FILE [ARGUMENT...]
run_python() {
    local file=$1
    shift
    export BAGELHOOK_BUILD=$state/build BAGELHOOK_SOURCE=$tree BENCH_STATE=$state PYTHONDONTWRITEBYTECODE=1
    exec /usr/bin/python3 "$tree/bench/$file" "$@"
}
