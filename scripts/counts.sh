# shellcheck shell=bash
# What the runners of tests say of how many passed, failed and were skipped. To be sourced by scripts/test, whose $state and
# $part (that which is running) these functions use.
# shellcheck disable=SC2034,SC2154

# Adds to what the running part reports: count PASSED FAILED SKIPPED
count() {
    printf '%s %s %s\n' "$1" "$2" "$3" >>"$state/$part.counts"
}

# Adds up a file of counts, and sets passed, failed and skipped. sum_counts FILE
sum_counts() {
    local p f s
    passed=0 failed=0 skipped=0
    [[ -e $1 ]] || return 0
    while read -r p f s; do
        passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    done <"$1"
}

# What a test program reported: where it is one of Check's, its single checks, else the program as one test.
count_test_program() {
    local trs=$1 result='' line checks=0 bad=0
    while read -r line; do
        [[ $line != ':test-result: '* ]] || result=${line#:test-result: }
    done <"$trs"
    while IFS= read -r line; do
        [[ $line =~ ^[0-9]+%:\ Checks:\ ([0-9]+),\ Failures:\ ([0-9]+),\ Errors:\ ([0-9]+)$ ]] || continue
        checks=$((checks + BASH_REMATCH[1]))
        bad=$((bad + BASH_REMATCH[2] + BASH_REMATCH[3]))
    done <"${trs%.trs}.log"
    case $result in
    PASS* | XFAIL*) ((checks > 0)) || checks=1 ;;
    SKIP*)
        count 0 0 1
        return
        ;;
    # All checks passed and yet it failed: a leak, or a crash at the end.
    *) ((bad > 0)) || checks=$((checks + 1)) bad=1 ;;
    esac
    count $((checks - bad)) "$bad" 0
}

# Counts the lines of TAP in a file; "not ok" with a TODO is expected. count_tap FILE STATUS
count_tap() {
    local good bad skips
    good=$(grep -cE '^(ok |not ok .*# TODO)' "$1") || :
    skips=$(grep -cE '^ok .*# SKIP' "$1") || :
    bad=$(grep -E '^not ok ' "$1" | grep -cv '# TODO') || :
    # A wrong plan or an SQL error fails without any test of its own.
    ((bad > 0 || $2 == 0)) || bad=1
    count $((good - skips)) "$bad" "$skips"
}

# Counts what pytest's last line says. count_pytest FILE STATUS
count_pytest() {
    local line good=0 bad=0 other=0 number word
    line=$(grep -E '(passed|failed|errors?|skipped|no tests ran).* in [0-9.]+s' "$1" | tail -n 1) || :
    while read -r number word; do
        case $word in
        passed | xfailed) good=$((good + number)) ;;
        failed | error | errors | xpassed) bad=$((bad + number)) ;;
        skipped) other=$((other + number)) ;;
        esac
    done < <(grep -oE '[0-9]+ [a-z]+' <<<"$line")
    ((bad > 0 || $2 == 0)) || bad=1
    count "$good" "$bad" "$other"
}
