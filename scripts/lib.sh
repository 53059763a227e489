# shellcheck shell=bash
# What scripts/run and scripts/test share: packages, building, processes, and private PostgreSQL clusters.
# To be sourced, with set -euo pipefail, by a script that has set
#   program   its name, for messages
#   tree      the source tree
#   state     the directory for what has to be remembered; a process is recorded in $state/NAME.pid

: "${program:?}" "${tree:?}" "${state:?}"

# An administrator's umask may be strict; what is secret gets its mode here explicitly.
umask 022
export LC_ALL=C.UTF-8
# Debian's nginx is in a directory that not every user has in PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# Somebody's own database settings must not lead us to somebody's own database.
for variable in "${!PG@}"; do
    unset "$variable"
done
# Whatever we talk to is on this machine.
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1

say() {
    printf '%s\n' "$*"
}

die() {
    printf '%s: %s\n' "$program" "$*" >&2
    exit 1
}

# The end of a log, for whoever has to find out what went wrong. log_tail FILE [LINES]
log_tail() {
    # Where messages go into that very log, it has no need to repeat itself.
    [[ -s $1 && ! $1 -ef /dev/fd/2 ]] || return 0
    printf -- '--- the end of %s\n' "$1" >&2
    tail -n "${2:-20}" -- "$1" >&2
    printf -- '---\n' >&2
}

# Runs a command with its output in a log, shows the log's end and gives up if it fails. logged WHAT LOG COMMAND...
logged() {
    local what=$1 log=$2
    shift 2
    "$@" >>"$log" 2>&1 </dev/null && return
    log_tail "$log" 30
    die "$what failed; all of its output is in $log"
}

# --- packages -------------------------------------------------------------------------------------------------

# What building needs, and what running does. libc6-dev: gcc merely recommends it.
# shellcheck disable=SC2034 # for the scripts
build_packages=(
    gcc libc6-dev make autoconf automake pkg-config
    libfcgi-dev libjansson-dev libpq-dev libssl-dev libcurl4-openssl-dev libseccomp-dev libmicrohttpd-dev
    libsystemd-dev
)
# shellcheck disable=SC2034
run_packages=(postgresql sqitch libdbd-pg-perl nginx)

# Sets PG_BIN and PG_MAJOR to the newest installed server, or to that of the given major version. BAGELHOOK_POSTGRES: the
# directory of another server's programs.
find_postgres() {
    local bin found=
    if [[ -n ${BAGELHOOK_POSTGRES-} ]]; then
        PG_BIN=$BAGELHOOK_POSTGRES PG_MAJOR=$("$BAGELHOOK_POSTGRES/postgres" --version)
        PG_MAJOR=${PG_MAJOR##* } PG_MAJOR=${PG_MAJOR%%.*}
        [[ -z ${1-} || $PG_MAJOR == "$1" ]]
        return
    fi
    while IFS= read -r bin; do
        # A pattern that matches nothing stays as it is.
        [[ -x $bin && $bin == /usr/lib/postgresql/${1:-*}/* ]] && found=$bin
    done < <(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V)
    [[ -n $found ]] || return 1
    PG_BIN=${found%/postgres}
    PG_MAJOR=${PG_BIN%/bin}
    PG_MAJOR=${PG_MAJOR##*/}
}

# Prints those of the named packages that are not installed.
missing_packages() {
    local package
    for package in "$@"; do
        # Any server will do, not only the one that the distribution's meta package stands for.
        [[ $package == postgresql ]] && find_postgres && continue
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s\n' "$package"
    done
}

# Runs as root in a shell of its own, so that its trap undoes what it changes however it ends. It keeps the packages'
# maintainer scripts from starting services and from creating a PostgreSQL cluster, by the two places that Debian
# provides for that, both of them left as they were found.
install_as_root() {
    local policy=/usr/sbin/policy-rc.d drop_in=/etc/postgresql-common/createcluster.d/zz-bagelhook-temporary.conf
    local mark='Temporary: bagelhook is installing packages without starting their services.' directory

    # Two at once would remove each other's settings.
    exec 8>/run/bagelhook-packages.lock
    flock 8
    # Not local: the trap may run after the function has returned.
    undo=()
    # One of our own that was left behind by a power cut is not somebody's decision.
    if [[ ! -e $policy && ! -L $policy ]] || grep -qsF "$mark" "$policy"; then
        undo+=("rm -f $policy")
    fi
    for directory in /etc/postgresql-common /etc/postgresql-common/createcluster.d; do
        # Only if still empty: the first is the package's own, too. Innermost first.
        [[ -d $directory ]] || undo=("rmdir --ignore-fail-on-non-empty $directory" "${undo[@]}")
    done
    undo=("rm -f $drop_in" "${undo[@]}")
    # shellcheck disable=SC2154 # the trap's own variable
    trap 'for step in "${undo[@]}"; do $step || :; done' EXIT
    trap 'exit 130' HUP INT TERM
    if [[ " ${undo[*]} " == *" $policy "* ]]; then
        printf '#!/bin/sh\n# %s\nexit 101\n' "$mark" >"$policy"
        chmod 755 "$policy"
    fi
    mkdir -p "${drop_in%/*}"
    printf '# %s\ncreate_main_cluster = off\n' "$mark" >"$drop_in"

    # NEEDRESTART_SUSPEND: where needrestart is installed it would restart services that have nothing to do with us.
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    local -a options=(-y -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
    apt-get "${options[@]}" update
    apt-get "${options[@]}" --no-install-recommends -o Dpkg::Options::=--force-confdef \
        -o Dpkg::Options::=--force-confold install "$@"
}

# Installs those of the named Debian packages that are missing; does nothing else on a machine that has them.
need_packages() {
    local log=$state/packages.log
    local -a missing become_root=()

    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        die "this script installs what it needs on Debian; elsewhere, see README.md for what to install by hand"
    fi
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]} > 0)) || return 0
    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            die "these packages are missing, and neither are you root nor is there sudo: ${missing[*]}"
        become_root=(sudo)
        # Where nobody can type a password, asking for one would wait for ever.
        [[ -t 0 ]] || become_root=(sudo -n)
    fi
    say "Installing ${missing[*]}"
    "${become_root[@]}" bash -c "set -euo pipefail; $(declare -f install_as_root); install_as_root \"\$@\"" install \
        "${missing[@]}" >>"$log" 2>&1 && return
    log_tail "$log"
    die "cannot install the missing packages; all of apt-get's output is in $log"
}

# --- building -------------------------------------------------------------------------------------------------

# Builds the tree out of tree: build_tree DIR LOG [CONFIGURE-ARGUMENT...]
build_tree() {
    [[ ! -e $tree/config.status ]] || die "the source tree itself is configured: run make distclean in $tree first"
    [[ $tree != *[[:space:]]* ]] || die "autoconf cannot build below a path with a space in it: $tree"
    local build=$1 log=$2
    shift 2
    mkdir -p "$build"
    if [[ ! -e $tree/configure || $tree/configure.ac -nt $tree/configure ]]; then
        logged autoreconf "$log" autoreconf --install "$tree"
        # autoreconf leaves an unchanged configure as it is, which would then seem old for ever.
        touch "$tree/configure"
    fi
    # From the second time on make configures again by itself, where that is needed.
    if [[ ! -e $build/config.status || ! -e $build/configured-with || $(<"$build/configured-with") != "$*" ]]; then
        (cd "$build" && logged configure "$log" "$tree/configure" "$@")
        printf '%s\n' "$*" >"$build/configured-with"
    fi
    logged 'the build' "$log" make -C "$build" -j "$(nproc)"
}

# --- processes ------------------------------------------------------------------------------------------------

# PostgreSQL refuses to run as root, and nothing else needs it: as root we run everything as the user that comes with
# PostgreSQL's package. setpriv replaces itself with the command, so that its process id is the one we started.
# Sets service_user (empty for an ordinary user, who runs everything as himself) and the prefix as_service.
choose_service_user() {
    service_user=
    as_service=(env)
    ((EUID == 0)) || return 0
    id postgres >/dev/null 2>&1 || die "there is no user postgres, which PostgreSQL's package should have made"
    service_user=postgres
    as_service=(setpriv --reuid=postgres --regid=postgres --init-groups --reset-env --)
}

# A directory that the service user owns and nobody else may enter.
private_directory() {
    mkdir -p "$1"
    chmod 700 "$1"
    [[ -z $service_user ]] || chown "$service_user:" "$1"
}

# What tells a process from a later one with the same id: when it started, and since which boot that counts.
# Fails where there is no such process (a zombie is none).
process_identity() {
    local line boot
    local -a fields
    [[ $1 =~ ^[0-9]+$ ]] || return 1
    { line=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    boot=$(</proc/sys/kernel/random/boot_id)
    # The command's name, in parentheses, may itself contain anything; the start is the 20th field after it.
    read -r -a fields <<<"${line##*) }"
    [[ ${fields[0]} != [ZX] ]] || return 1
    printf '%s %s\n' "${fields[19]}" "$boot"
}

# Remembers a process under a name: record_process NAME PID
record_process() {
    printf '%s %s\n' "$2" "$(process_identity "$2")" >"$state/$1.pid"
}

# Prints the id of the process recorded under a name, if that very process is still there.
process_id() {
    local pid identity
    [[ -e $state/$1.pid ]] || return 1
    read -r pid identity <"$state/$1.pid" || return 1
    [[ -n $identity && $(process_identity "$pid") == "$identity" ]] && printf '%s\n' "$pid"
}

process_runs() {
    process_id "$1" >/dev/null
}

# Starts a process that outlives us, in a session of its own: a Ctrl-C in our terminal is ours to carry out, in order.
# start_process NAME LOG COMMAND...
start_process() {
    local name=$1 log=$2
    shift 2
    # Descriptor 9 is the lock of the calling script, which must not live as long as the process.
    (cd / && exec setsid "$@") </dev/null >>"$log" 2>&1 9>&- &
    record_process "$name" $!
}

# Waits for a condition, which a started process brings about or fails to. wait_for NAME LOG SECONDS COMMAND...
wait_for() {
    local name=$1 log=$2 deadline=$((SECONDS + $3))
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ! process_runs "$name"; then
            log_tail "$log"
            die "$name has ended; its output is in $log"
        elif ((SECONDS >= deadline)); then
            log_tail "$log"
            die "$name is not ready after a while (waited for: $*); its output is in $log"
        fi
        sleep 0.1
    done
}

# Asks a recorded process to end, insists after a while: stop_process NAME SIGNAL SECONDS [SECOND-SIGNAL]
stop_process() {
    local name=$1 signal=$2 deadline=$((SECONDS + $3)) last=${4:-KILL} pid
    if pid=$(process_id "$name"); then
        kill -s "$signal" "$pid" 2>/dev/null || ! process_runs "$name" || die "$name, process $pid, is not ours to stop"
        while process_runs "$name"; do
            if ((SECONDS >= deadline)); then
                say "$name does not end: sending SIG$last"
                kill -s "$last" "$pid" 2>/dev/null || :
                deadline=$((SECONDS + 10)) last=KILL
            fi
            sleep 0.1
        done
    fi
    rm -f "$state/$name.pid"
}

# --- private PostgreSQL clusters --------------------------------------------------------------------------------

# Makes sure that there is a cluster in a directory (whose parent the service user can enter), and that PG_BIN fits it.
create_cluster() {
    local data=$1
    if [[ -e $data/PG_VERSION ]]; then
        find_postgres "$(<"$data/PG_VERSION")" ||
            die "$data was made by PostgreSQL $(<"$data/PG_VERSION"), which is not installed"
        return
    fi
    find_postgres || die "no PostgreSQL server in /usr/lib/postgresql"
    # Under another name until it is complete: an interrupted initdb must not look like a cluster.
    rm -rf "$data.new"
    private_directory "$data.new"
    (cd / && logged initdb "$state/postgres.log" "${as_service[@]}" "$PG_BIN/initdb" --pgdata="$data.new" \
        --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-instructions)
    mv -T "$data.new" "$data"
}

# Starts the cluster on a Unix socket only and points libpq's variables at it. The socket's directory is private, so
# that whoever gets in may be anybody there (trust). start_cluster DATA SOCKET-DIRECTORY [SETTING=VALUE...]
start_cluster() {
    local data=$1 sockets=$2 setting
    local -a settings=()
    shift 2
    export PGHOST=$sockets PGPORT=5432 PGUSER=postgres
    # Before any other psql, also for what calls it by name: Debian's wrapper chooses by its own rules.
    PATH=$PG_BIN:$PATH
    for setting in listen_addresses= "unix_socket_directories=$sockets" port=5432 "$@"; do
        settings+=(-c "$setting")
    done
    if ! process_runs postgres; then
        start_process postgres "$state/postgres.log" "${as_service[@]}" "$PG_BIN/postgres" -D "$data" "${settings[@]}"
    fi
    wait_for postgres "$state/postgres.log" 60 pg_isready --quiet
}

# First the fast shutdown, then the immediate one; never SIGKILL alone, which leaves its children behind.
stop_cluster() {
    stop_process postgres INT 60 QUIT
}

# One value from a database: query DATABASE SQL
query() {
    psql --no-psqlrc --quiet --tuples-only --no-align -v ON_ERROR_STOP=1 --dbname="$1" --command="$2"
}

# Brings a database to the newest schema. Sqitch signs its log with a name; it is told one, so as not to look for it.
deploy_schema() {
    SQITCH_FULLNAME=bagelhook SQITCH_EMAIL=bagelhook@localhost \
        SQITCH_USER_CONFIG=/dev/null SQITCH_SYSTEM_CONFIG=/dev/null \
        logged 'the migration' "$state/sqitch.log" sqitch --chdir "$tree/sql" deploy "db:pg:$1"
}

# A short path for sockets: the kernel allows 107 bytes, and connection strings are simpler without odd characters.
# Prints the directory, which is then in the state or, linked from there, elsewhere.
socket_directory() {
    local wanted=$state/sockets base=/tmp directory
    if [[ $wanted/.s.PGSQL.5432.lock =~ ^[A-Za-z0-9_./-]{1,100}$ ]]; then
        private_directory "$wanted"
        printf '%s\n' "$wanted"
        return
    fi
    # The one of the last time, unless it was cleared away or, worse, is somebody else's by now.
    if [[ -L $wanted && $(stat -c %U "$wanted/" 2>/dev/null) == "${service_user:-$(id -un)}" ]]; then
        readlink "$wanted"
        return
    fi
    # The service user cannot enter root's own runtime directory.
    [[ -n $service_user || ! -d ${XDG_RUNTIME_DIR:-} ]] || base=$XDG_RUNTIME_DIR
    directory=$(mktemp -d "$base/bagelhook.XXXXXX")
    private_directory "$directory"
    ln -sfn "$directory" "$wanted"
    printf '%s\n' "$directory"
}

# --- nginx ----------------------------------------------------------------------------------------------------

# Writes nginx's configuration from the texts in the tree: configure_nginx DIR PORT SOCKET
configure_nginx() {
    local directory=$1 text
    mkdir -p "$directory"
    cp "$tree/nginx/bagelhook.conf" "$directory/bagelhook.conf"
    text=$(<"$tree/nginx/bagelhook-upstream.conf")
    printf '%s\n' "${text//unix:\/run\/bagelhook\/bagelhook.sock/"unix:$3"}" >"$directory/bagelhook-upstream.conf"
    text=$(<"$tree/nginx/nginx.conf.in")
    text=${text//@DIR@/"$directory"}
    text=${text//@PORT@/"$2"}
    # As root, the workers become the service user, whose socket the responder's is.
    text=${text//@USER@/"${service_user:+user $service_user $(id -gn "$service_user");}"}
    printf '%s\n' "$text" >"$directory/nginx.conf"
}

# Adds the console's server, with one user, bagelhook: configure_console DIR PORT SOCKET PASSWORD
configure_console() {
    local directory=$1 text
    text=$(<"$tree/nginx/bagelhook-console.conf")
    text=${text//127.0.0.1:8081;/"127.0.0.1:$2;"}
    text=${text//unix:\/run\/bagelhook-console\/console.sock/"unix:$3"}
    text=${text//\/etc\/bagelhook\/console.htpasswd;/"\"$directory/htpasswd\";"}
    printf '%s\n' "$text" >"$directory/console.conf"
    (umask 077 && printf 'bagelhook:{PLAIN}%s\n' "$4" >"$directory/htpasswd")
    [[ -z $service_user ]] || chown "$service_user:" "$directory/htpasswd"
}

# Whether anything listens there already: port_taken PORT
port_taken() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The status of a plain GET, without a need for curl: http_status PORT PATH
http_status() {
    local code
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1" &&
            printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3 &&
            read -r -t 5 _ code _ <&3 && [[ -n $code ]] && printf '%s\n' "$code"
    ) 2>/dev/null
}
