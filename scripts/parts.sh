# shellcheck shell=bash
# The parts of scripts/test, and what they share. A part NAME is the function part_NAME, with _ for -; it runs in a shell
# of its own, writes its counts with count(), and may fail without any. To be sourced by scripts/test, after lib.sh and
# counts.sh; it sets
#   tree      the source tree
#   base      where logs, and what is found, stay
#   state     where everything else is, until the end
#   log       the part's own log
# shellcheck disable=SC2154

# For the package alone.
package_packages=(dpkg-dev fakeroot debhelper lintian debootstrap)

# Sanitizers: a finding must be a failure, and say where.
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

# The build as it is shipped, but that a warning is an error.
build_plain() {
    build=$state/build
    build_tree "$build" "$log" --enable-werror
}

build_sanitized() {
    build=$state/build-sanitized
    build_tree "$build" "$log" --enable-werror --enable-sanitizers CFLAGS='-g -O1'
    # Without this, a change of flags could quietly make it the plain build again.
    [[ $(nm "$build/bagelhook") == *__asan_init* ]] || die '--enable-sanitizers builds without sanitizers'
}

make_check() {
    local status=0 trs
    find "$build" -name '*.trs' -delete
    make -C "$build" check -j "$(nproc)" || status=$?
    while IFS= read -r trs; do
        count_test_program "$trs"
        # The program's own output, which automake keeps apart.
        grep -q '^:test-result: PASS' "$trs" || cat "${trs%.trs}.log"
    done < <(find "$build" -name '*.trs' | sort)
    return "$status"
}

part_unit() {
    build_plain
    make_check
}

part_sanitize() {
    build_sanitized
    make_check
}

# A cluster with a migrated database, template, and the role that the responder has.
start_migrated_cluster() {
    local directory
    choose_service_user
    # Not in the tree, which PostgreSQL's user need not be able to enter.
    directory=$(mktemp -d /tmp/bagelhook-test.XXXXXX)
    printf '%s\n' "$directory" >"$state/cluster"
    chmod 711 "$directory"
    private_directory "$directory/sockets"
    create_cluster "$directory/pg"
    start_cluster "$directory/pg" "$directory/sockets" fsync=off
    createdb template
    deploy_schema template
    query template 'CREATE ROLE bagelhook LOGIN IN ROLE bagelpay_ingest'
}

# In a database of its own, a copy of a migrated one.
prove_file() {
    local name status=0
    name=$(basename "$1" .sql)
    { createdb --template=template --strategy=file_copy "test_$name" && pg_prove --verbose --dbname "test_$name" "$1"; } \
        >"$state/tap-$name" 2>&1 || status=$?
    echo "$status" >"$state/status-$name"
}

# At most JOBS beside each other: prove_files JOBS FILE...
prove_files() {
    local jobs=$1 first i
    local -a workers=()
    shift
    for ((first = 1; first <= jobs; first++)); do
        for ((i = first; i <= $#; i += jobs)); do prove_file "${!i}"; done &
        workers+=($!)
    done
    wait "${workers[@]}"
}

# changes_since() waits for open transactions, also those of other databases. Files that call it run one after the other.
prove_sql() {
    local name bad=0
    local -a beside alone
    query template 'CREATE EXTENSION pgtap'
    mapfile -t alone < <(grep -l -E 'changes_since|snapshot' "$tree"/tests/sql/*.sql)
    mapfile -t beside < <(grep -L -E 'changes_since|snapshot' "$tree"/tests/sql/*.sql)
    prove_files "$(nproc)" "${beside[@]}"
    prove_files 1 "${alone[@]}"
    for name in "${beside[@]}" "${alone[@]}"; do
        name=$(basename "$name" .sql)
        cat "$state/tap-$name"
        count_tap "$state/tap-$name" "$(cat "$state/status-$name")"
        [[ $(cat "$state/status-$name") == 0 ]] || bad=1
    done
    return "$bad"
}

# And whatever event_parse() accepts, ingest() has to take.
part_sql() {
    local bad=0
    build_plain
    start_migrated_cluster
    createdb --template=template ingest
    prove_sql || bad=1
    make -C "$build" tests/fuzz/fuzz_ingest
    if fuzz ingest "${event_corpora[@]}"; then count 1 0 0; else count 0 1 0; bad=1; fi
    stop_cluster
    return "$bad"
}

event_corpora=("$tree/tests/fuzz/corpus/event" "$tree/tests/events")

# Runs a fuzz target of the build: fuzz TARGET ARGUMENT...
fuzz() {
    local target=$1
    shift
    BAGELHOOK_FUZZ_DATABASE="host=$PGHOST user=bagelhook dbname=ingest" "$build/tests/fuzz/fuzz_$target" "$@"
}

# Each target goes on from its corpus for a while; BAGELHOOK_FUZZ_SECONDS: how long. What it finds is left in .test/fuzz.
part_fuzz() {
    local source target found bad=0
    local -a corpora
    build=$state/build-fuzz
    build_tree "$build" "$log" --enable-werror --enable-fuzzers CC=clang CFLAGS='-g -O1'
    start_migrated_cluster
    createdb --template=template ingest
    for source in "$tree"/tests/fuzz/fuzz_*.c; do
        target=$(basename "$source" .c) target=${target#fuzz_} corpora=("$tree/tests/fuzz/corpus/$target")
        [[ $target != ingest ]] || corpora=("${event_corpora[@]}")
        make -C "$build" "tests/fuzz/fuzz_$target"
        found=$base/fuzz/$target
        mkdir -p "$found" "$state/fuzz/$target"
        # The first directory is the one that libFuzzer writes to. The log of the responder's own code would drown the rest.
        if fuzz "$target" -close_fd_mask=2 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
            "-max_total_time=${BAGELHOOK_FUZZ_SECONDS:-30}" "-artifact_prefix=$found/" \
            "$state/fuzz/$target" "${corpora[@]}"; then
            count 1 0 0
        else
            count 0 1 0
            bad=1
        fi
    done
    stop_cluster
    return "$bad"
}

# Debian's Python, for which the packages above are, whatever other one comes first in PATH.
run_pytest() {
    local status=0
    # From within the state, because pytest's plugins leave things where they are run.
    (
        cd "$state"
        export BAGELHOOK_BUILD=${build:-} BAGELHOOK_SOURCE=$tree PYTHONDONTWRITEBYTECODE=1
        exec /usr/bin/python3 -m pytest -q --color=no -rs -p no:cacheprovider "$@"
    ) >"$state/pytest" 2>&1 || status=$?
    cat "$state/pytest"
    count_pytest "$state/pytest" "$status"
    return "$status"
}

# Node.js may have come from elsewhere than Debian, with its own npm.
need_npm() {
    command -v npm >/dev/null || need_packages npm
}

# Mostly they wait for processes, theirs and each other's; the tests of a file share a stack.
run_e2e() {
    # For the examples.
    need_npm
    run_pytest -n 4 --dist loadfile "$@"
}

# But for those tests that take longest and whose neighbours in the same file ask for much the same.
part_e2e() {
    build_plain
    run_e2e "$tree/tests/e2e" -m "not long"
}

part_e2e_long() {
    build_plain
    run_e2e "$tree/tests/e2e" -m long
}

# The modules of the console's page that need no browser.
test_page_modules() {
    local status=0
    node --test --test-reporter=tap "$tree"/tests/page/*.test.js >"$state/tap" 2>&1 || status=$?
    cat "$state/tap"
    count_tap "$state/tap" "$status"
    return "$status"
}

# The console, in a browser, too. axe-core comes from npm's registry; where that cannot be, its tests are skipped.
part_console() {
    local bad=0
    build_plain
    need_npm
    test_page_modules || bad=1
    run_pytest -n 2 --dist loadfile "$tree/tests/console" || bad=1
    return "$bad"
}

part_console_sanitize() {
    build_sanitized
    run_pytest "$tree/tests/console/test_api.py"
}

part_e2e_sanitize() {
    build_sanitized
    run_e2e "$tree/tests/e2e"
}

build_threads() {
    build=$state/build-threads
    build_tree "$build" "$log" --enable-werror --enable-sanitizers=thread CFLAGS='-g -O1'
    [[ $(nm "$build/bagelhook") == *__tsan_init* ]] || die '--enable-sanitizers=thread builds without it'
    export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
}

# What has to do with threads, under ThreadSanitizer.
part_e2e_threads() {
    build_threads
    run_e2e "$tree"/tests/e2e/test_{answers,commit,lifecycle,metrics,peers,pressure,rotation,spool,upgrade}.py
}

# What of common/ and fcgi/ unit and end-to-end tests run, of all that is compiled. Too little is a failure.
part_coverage() {
    local status=0 info=$state/coverage
    local -a lcov=(lcov --quiet --rc lcov_branch_coverage=1)
    build=$state/build-coverage
    build_tree "$build" "$log" --enable-werror --enable-coverage
    make_check || status=$?
    # Here, or tests that run beside each other would build it at once.
    make -C "$build" tests/faults/faults.so
    # Mostly they wait; and processes that end at once add to the counters one after the other.
    run_pytest "$tree/tests/e2e" -n 3 --dist loadfile || status=$?
    # Also what no program has run.
    "${lcov[@]}" --capture --initial --directory "$build" --output-file "$info.none"
    "${lcov[@]}" --capture --directory "$build" --output-file "$info.run"
    "${lcov[@]}" --add-tracefile "$info.none" --add-tracefile "$info.run" --output-file "$info.all"
    "${lcov[@]}" --extract "$info.all" "$tree/common/*" "$tree/fcgi/*" --output-file "$base/coverage.info"
    lcov --rc lcov_branch_coverage=1 --list "$base/coverage.info"
    if coverage_suffices LF LH 95 lines && coverage_suffices BRF BRH 85 branches; then count 1 0 0; else count 0 1 0; fi
    return "$status"
}

# coverage_suffices FOUND HIT PERCENT WHAT, the first two by lcov's names.
coverage_suffices() {
    awk -F: -v found="$1" -v hit="$2" -v least="$3" -v what="$4" '
        $1 == found { all += $2 }
        $1 == hit { run += $2 }
        END {
            printf "%s: %d of %d, %.1f %%; at least %d %%\n", what, run, all, 100 * run / all, least
            exit 100 * run < least * all
        }' "$base/coverage.info"
}

# What the responder does with memory, as valgrind sees it: also within the libraries, and what was never initialised. A
# finding is an exit status, which the tests expect to be 0. Not what sets limits or deadlines of its own: all is slower.
part_valgrind() {
    build_plain
    export BAGELHOOK_PREFIX="valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite"
    run_pytest "$tree"/tests/e2e/test_{answers,commit}.py
}

# That the benchmarks run; their figures mean nothing beside other work.
part_bench() {
    if "$tree/bench/run" --quick --rounds 1 --seconds 2; then count 1 0 0; else count 0 1 0; fi
    if "$tree/bench/grow" --sizes 0,10000 --rounds 1 --seconds 2 --warm-up 2; then count 1 0 0; else count 0 1 0; fi
    if "$tree/bench/scale" --stored 10000 --rounds 1 --seconds 2; then count 1 0 0; else count 0 1 0; fi
    if "$tree/bench/large" --sizes 1000 --rounds 3; then count 1 0 0; else count 0 1 0; fi
    if "$tree/bench/console" --events 10000 --asks 3 --rounds 1 --seconds 4; then count 1 0 0; else count 0 1 0; fi
}

part_reference() {
    run_pytest "$tree/tests/reference"
}

# What the SQL is asked for, of other major versions of PostgreSQL, as npm's registry has them built. They are servers
# only, with Debian's programs to talk to them; and pgTAP is SQL, the same for all.
part_postgres() {
    local major debian=$PG_MAJOR bad=0
    need_npm
    build_plain
    # Not in the tree, which PostgreSQL's user need not be able to enter. Not local: the trap runs later.
    servers=$(mktemp -d /tmp/bagelhook-test.XXXXXX)
    trap 'rm -rf -- "$servers"' EXIT
    chmod 755 "$servers"
    cp "$tree"/tests/postgres/package*.json "$servers"
    npm ci --prefix "$servers" --no-audit --no-fund
    for major in 16 17 18; do
        export BAGELHOOK_POSTGRES=$servers/node_modules/postgres-$major/native/bin
        cp "/usr/share/postgresql/$debian/extension"/pgtap* "$BAGELHOOK_POSTGRES/../share/postgresql/extension/"
        "$BAGELHOOK_POSTGRES/postgres" --version
        start_migrated_cluster
        prove_sql || bad=1
        clean_up_cluster
        run_e2e "$tree"/tests/histories \
            "$tree"/tests/e2e/test_{adopt,answers,cases,commit,deliveries,export,import,managed,migrations,privileges,recipes,redrive,retention,send_content,send_stories,spool}.py || bad=1
    done
    return "$bad"
}

# Random histories against the reference; BAGELHOOK_HISTORIES: how many.
part_histories() {
    build_plain
    run_pytest -n 2 --dist loadfile "$tree/tests/histories"
}

# Everything that can die, dies this often, unless BAGELHOOK_CHAOS_ROUNDS says otherwise. run_chaos ROUNDS
run_chaos() {
    export BAGELHOOK_CHAOS_ROUNDS=${BAGELHOOK_CHAOS_ROUNDS:-$1}
    # Mostly they wait for each other's processes.
    run_pytest "$tree/tests/chaos" -n 3 -m "not long"
}

part_chaos() {
    build_plain
    run_chaos 1
}

part_chaos_sanitize() {
    build_sanitized
    run_chaos 2
}

part_chaos_threads() {
    build_threads
    run_chaos 2
}

part_chaos_long() {
    build_plain
    run_chaos 100
}

# One after the other, on one cluster: beside others, the times that it prints would be longer.
part_patroni() {
    build_plain
    run_pytest "$tree/tests/chaos/test_patroni.py" -m long
}

# With BAGELHOOK_HISTORIES=20000, for a release, it takes about an hour on two cores.
part_histories_long() {
    local status=0
    build_plain
    export BAGELHOOK_HISTORIES=${BAGELHOOK_HISTORIES:-5000} BAGELHOOK_ARRIVALS=all
    # On their own, so that each of the two processes gets one half.
    run_pytest -n 2 "$tree/tests/histories/test_histories.py" || status=$?
    run_pytest -n 2 --dist loadfile "$tree/tests/histories" --ignore "$tree/tests/histories/test_histories.py" || status=$?
    return "$status"
}

# The Debian package, in a root of its own, and the archive that make distcheck makes.
part_package() {
    need_packages "${package_packages[@]}"
    build_plain
    if make -C "$build" distcheck DISTCHECK_CONFIGURE_FLAGS=--enable-werror; then count 1 0 0; else count 0 1 0; fi
    run_pytest "$tree/tests/package/test_package.py"
}

# The images of contrib/container, without a registry: its base is made as the package's root is.
part_container() {
    need_packages debootstrap buildah podman runc python3-yaml
    run_pytest "$tree/tests/package/test_container.py"
}

# The console's page: ESLint's recommended rules, and its JSDoc types as TypeScript's compiler reads them. Both come from
# npm's registry; if that cannot be reached, they are skipped.
analyze_page() {
    local directory=$state/page-checkers bad=0
    need_npm
    mkdir -p "$directory/page"
    cp "$tree"/tests/page/* "$directory"
    cp "$tree"/console/page/*.js "$directory/page"
    if ! npm ci --prefix "$directory" --no-audit --no-fund; then
        say 'Skipped: ESLint and TypeScript cannot be installed from npm'\''s registry.'
        count 0 0 2
        return 0
    fi
    if (cd "$directory" && node_modules/.bin/eslint --max-warnings 0 .); then count 1 0 0; else count 0 1 0; bad=1; fi
    if (cd "$directory" && node_modules/.bin/tsc --project .); then count 1 0 0; else count 0 1 0; bad=1; fi
    return "$bad"
}

part_analyze() {
    local file status bad=0
    local -a scripts=("$tree/.ci/run")
    for file in "$tree"/scripts/* "$tree"/bench/*; do
        [[ -f $file && $(head -n 1 "$file") =~ ^#.*sh$ ]] && scripts+=("$file")
    done
    for file in "${scripts[@]}"; do
        if (cd "$tree" && shellcheck -x "$file"); then count 1 0 0; else count 0 1 0; bad=1; fi
    done
    analyze_page || bad=1
    build_plain
    for file in cppcheck clang-tidy gcc; do
        if make -C "$build" "analyze-$file"; then count 1 0 0; else count 0 1 0; bad=1; fi
    done
    return "$bad"
}
