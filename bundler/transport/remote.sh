# The far end of a push. Runs on the host in its POSIX shell, with GNU coreutils and nothing else; session.py talks
# to it. A request is a line on stdin, some with bytes behind it; an answer is a line on stdout. Set before this text
# are $store (a directory), $layout and $empty_index (what a new store's files hold), and $lock_seconds.
#
#   request                    bytes   answers
#   prepare                            bytes and inodes (what df says), ready DIRECTORY; or lacks TOOL..., held LOCK OWNER
#   look                               as prepare, and changes nothing; absent DIRECTORY where there is no store yet
#   sink COUNT                 COUNT   sunk
#   fits COUNT                         fits, or large COUNT where no file may be so long
#   disown OWNER...
#   list [kept]                        what ls -n says of blobs and partial files, end; `kept`: removes nothing
#   open HEX...                        at HEX LENGTH, of each
#   put HEX OFFSET COUNT       COUNT
#   follow HEX OFFSET COUNT    COUNT
#   seal                               ok HEX or bad HEX ACTUAL, of each that came since the last seal, in any order
#   gather HEX [FIRST]                 had OFFSET COUNT, of what is there of a blob; gathered HEX FIRST LENGTH
#   range HEX FIRST OFFSET COUNT COUNT got HEX OFFSET
#   digest HEX FIRST                   lines behind it: how much more is there without a hole; `end`
#   whole HEX FIRST SIZE               ok HEX or bad HEX ACTUAL
#   check HEX...                       ok HEX or bad HEX ACTUAL, of each
#   agent HEX                          agent
#   index                              index DIGEST LENGTH, and so many bytes
#   swap DIGEST COUNT          COUNT   swapped, changed or held LOCK OWNER
#
# Any of them may answer full, failed or killed instead, with what it was about and what was said.

set -u
unset CDPATH BLOCK_SIZE LS_BLOCK_SIZE DF_BLOCK_SIZE BLOCKSIZE POSIXLY_CORRECT QUOTING_STYLE TIME_STYLE
LC_ALL=C
export LC_ALL
umask 022

segment=67108864 # bytes that one dd takes
patience=900     # seconds in which it must: else the other end is gone, and its connection hangs half-open
hash=sha256sum
disowned=
group=
known=
nl='
'

say() { printf '%s\n' "$*"; }

# A tool failed: its exit status, what it was about, and what it said, of which the first line is passed on.
trouble() {
    if [ "$1" -gt 128 ]; then # by a signal
        say "killed $2"
        return
    fi
    case $3 in
    *'No space left on device'* | *'quota exceeded'*) say "full $2 ${3%%"$nl"*}" ;;
    *) say "failed $2 ${3%%"$nl"*}" ;;
    esac
}

# --- who writes: machine-boot-pid-start, as in bundler/core/owner.py and bundler/store/writer.py ---

read_line() { { read -r line <"$1"; } 2>/dev/null || line=; }

# Sets $start: when a process started, in clock ticks since boot (proc(5), stat field 22). Its name may hold blanks.
started() {
    start=
    read_line "/proc/$1/stat"
    set -- ${line##*") "}
    [ $# -lt 20 ] || { shift 19; start=$1; }
}

host=$(uname -n)
read_line /etc/machine-id
machine=${line:-$host}
read_line /proc/sys/kernel/random/boot_id
boot=$line
namespace=$(readlink /proc/self/ns/pid 2>/dev/null) || namespace=
my_machine=$(printf '%.8s' "$machine" | tr -c 'A-Za-z0-9_' _)
my_boot=$(printf '%.8s' "$boot")
started $$
my_start=$start
me=$my_machine-$my_boot-$$-$my_start

# Whether the process that a partial file is named after is gone. One of another machine never counts as gone.
abandoned() {
    key=${1##*/}
    key=${key#*.}
    key=${key%%.*}
    case " $disowned " in *" $key "*) return 0 ;; esac
    case $key in *-*-*-*) ;; *) return 1 ;; esac
    [ "${key%-*-*-*}" = "$my_machine" ] && [ -n "$my_start" ] || return 1
    its_start=${key##*-}
    key=${key%-*}
    its_pid=${key##*-}
    key=${key%-*}
    [ "${key##*-}" = "$my_boot" ] || return 0
    started "$its_pid"
    [ "$start" != "$its_start" ]
}

# --- the store ---

# Says what is lacking, refused or there; leaves us in the store's directory.
prepare() {
    tools || return 1
    said=$(mkdir -p -- "$store/blobs/sha256" "$store/partial" 2>&1) && said=$(cd -- "$store" 2>&1) &&
        cd -- "$store" && store=$(pwd -P) && said=$(probe 2>&1) || { trouble $? - "$said"; return 1; }
    said=$({ place index.json "$empty_index" && place oci-layout "$layout"; } 2>&1) || { trouble $? - "$said"; return 1; }
    lease || return 1
    free .
    say "ready $store"
}

# Keeps a gc from deleting what no index lists yet, and waits for one that runs: bundler/store/leases.py.
lease() {
    tries=$((lock_seconds * 10))
    while :; do
        said=$({ mkdir -p leases && owner >"leases/.push.$me.1" && sync "leases/.push.$me.1" &&
            mv -f "leases/.push.$me.1" "leases/push.$me.1"; } 2>&1) || { trouble $? leases "$said"; return 1; }
        holder=$(cat leases/gc.lock 2>/dev/null) || [ -e leases/gc.lock ] || return 0
        ! gone "$holder" || return 0
        rm -f "leases/push.$me.1"
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { say "held leases/gc.lock $holder"; return 1; }
        sleep 0.1
    done
}

# Finds what is read-only or full, and a partial/ and blobs/ that no rename or link joins.
probe() {
    printf xy | dd of="partial/probe.$me" oflag=seek_bytes seek=1 conv=notrunc &&
        ln "partial/probe.$me" "blobs/sha256/probe.$me"
    status=$?
    rm -f "partial/probe.$me" "blobs/sha256/probe.$me"
    return $status
}

# A file of a new store, durably and whole; what is there already stays.
place() {
    [ ! -e "$1" ] || return 0
    printf '%s' "$2" >"partial/new.$me" && sync "partial/new.$me" && ln "partial/new.$me" "$1" && sync .
    status=$?
    rm -f "partial/new.$me"
    [ -e "$1" ] || return $status # another push may have been first
}

# The blobs that are there, and the partial files that can be gone on with; what else dead processes left is removed.
list() {
    ls -n blobs/sha256
    resumable=
    for file in partial/* blobs/sha256/probe.*; do
        case $file in partial/split-* | partial/ranges-*) continue ;; esac
        [ -f "$file" ] && abandoned "$file" || continue
        stem=${file##*/}
        stem=${stem%%.*}
        if [ ${#stem} -ne 64 ] || [ -f "blobs/sha256/$stem" ]; then
            [ "${1-}" = kept ] || rm -f -- "$file"
        else
            resumable="$resumable $file"
        fi
    done
    [ -z "$resumable" ] || ls -n -- $resumable
    list_split "$@"
    say end
}

# --- blobs ---

# Takes over the longest partial file of a blob that no living process writes, and says how long it is.
adopt() {
    mine=partial/$1.$me
    longest=0
    for file in "partial/$1".*; do
        [ -f "$file" ] || continue
        [ "$file" = "$mine" ] || abandoned "$file" || continue
        size=$(wc -c <"$file") || continue
        if [ "$size" -le "$longest" ]; then
            rm -f -- "$file"
        elif [ "$file" = "$mine" ] || mv -f -- "$file" "$mine" 2>/dev/null; then
            longest=$size
        fi
    done
    say "at $1 $((longest))"
}

# Takes COUNT bytes, at most a segment, from stdin into FILE at OFFSET. Sets $came, how many came. Fails with an answer,
# or without one where stdin ended.
pour() {
    came=0
    guard=
    [ "$3" -lt 1048576 ] || guard="timeout $patience"
    said=$($guard dd bs=262144 iflag=fullblock,count_bytes count="$3" of="$1" oflag=seek_bytes seek="$2" \
        conv="notrunc${4+,$4}" 2>&1)
    status=$?
    [ $status -ne 124 ] || return 1
    [ $status -eq 0 ] || { trouble $status "${1##*/}" "$said"; return 1; }
    case $said in
    *' copied'*)
        came=${said##*"records out$nl"}
        came=${came%% *}
        ;;
    *) # busybox does not say; of whole blocks it does
        came=${said##*"$nl"}
        case ${came%%+*} in '' | *[!0-9]*) came=0 ;; *) came=$((${came%%+*} * 262144)) ;; esac
        [ $(($(wc -c <"$1"))) -ne $(($2 + $3)) ] || came=$3
        ;;
    esac
    [ "$came" = "$3" ]
}

# Takes COUNT bytes of FILE, from OFFSET on, from stdin: at their own positions, so that two writers of one blob write
# the same. What lies behind OFFSET is cut off first (a dd without notrunc cuts at 0 where seek is less than a block).
# Fails with an answer, or without one where stdin ended.
receive() {
    file=$1
    at=$2
    end=$(($2 + $3))
    if [ "$at" -eq 0 ]; then
        { true >"$file"; } 2>/dev/null # what is wrong with it, dd says
    else
        said=$(truncate -s "$at" -- "$file" 2>&1) || { trouble $? "${file##*/}" "$said"; return 1; }
    fi
    while [ "$at" -lt "$end" ]; do
        part=$((end - at))
        [ "$part" -le "$segment" ] || part=$segment
        pour "$file" "$at" "$part" || return 1
        at=$((at + part))
        echo "$part" >&3
    done
}

# The same, while a hash follows behind: for what is so long that its pages may have left the cache at its end, or has
# no other blob behind it that would arrive while it is hashed. Sets $known: its name and its digest.
receive_followed() {
    { true >>"partial/$1.$me"; } 2>/dev/null
    sum=$(receive "partial/$1.$me" "$2" "$3" 3>&1 >&4 4>&- | follow "partial/$1.$me" "$2" | $hash) ||
        { trouble $? "$1" "it can't be hashed"; return 1; }
    size=$(wc -c <"partial/$1.$me") && [ "$size" -eq $(($2 + $3)) ] && known="$1 ${sum%% *}"
}

# Writes a file to stdout: what is there, then each piece that a line on stdin tells of.
follow() {
    exec 5<"$1"
    copy 5 "$2"
    while read -r part; do copy 5 "$part"; done
}

copy() { dd bs=262144 iflag=fullblock,count_bytes count="$2" <&"$1" 2>/dev/null; }

# Hashes what has been received, syncs it, gives it its names. Reads the files rather than a pipe beside the disk: it
# is what the file system holds that counts, it comes from the page cache, and costs less than tee.
finish() {
    cd partial || return 1
    files=
    for hex; do files="$files $hex.$me"; done
    [ $# -eq 1 ] || hash=sha256sum # starts faster
    if [ "$known" = "${known#"$1 "}" ]; then
        sums=$($hash $files 2>&1) || { trouble $? "$1" "$sums"; return 1; }
    else
        sums="${known#* } $files"
    fi
    set -- $sums
    good=
    while [ $# -ge 2 ]; do
        file=${2#\*}
        if [ "$1" = "${file%%.*}" ]; then
            good="$good $file"
        else
            rm -f -- "$file"
            say "bad ${file%%.*} $1"
        fi
        shift 2
    done
    [ -n "$good" ] || return 0
    said=$({ chmod 444 $good && sync $good && name $good && sync ../blobs/sha256; } 2>&1) ||
        { status=$?; set -- $good; trouble $status "${1%%.*}" "$said"; return 1; }
    for file in $good; do say "ok ${file%%.*}"; done
}

# Answers for a `finish` that was killed, too.
finished() {
    finish "$@" &
    wait $!
    [ $? -le 128 ] || say "killed $1"
}

name() { for file; do mv -f -- "$file" "../blobs/sha256/${file%%.*}" || return; done; }

# Reads a blob that is there again.
check() {
    sum=$($hash "blobs/sha256/$1" 2>&1) || { trouble $? "$1" "$sum"; return 1; }
    if [ "${sum%% *}" = "$1" ]; then say "ok $1"; else say "bad $1 ${sum%% *}"; fi
}

exec 4>&1
say "bundle-remote 1 $me"
while read -r verb arguments; do
    set -- $arguments
    case $verb in
    prepare) prepare || break ;;
    look) look || break ;;
    sink) sink "$1" || break ;;
    fits) fits "$1" ;;
    disown) disowned="$disowned $*" ;;
    list) list "$@" ;;
    open) for hex; do straighten "$hex"; adopt "$hex"; done ;;
    put) receive "partial/$1.$me" "$2" "$3" 3>/dev/null && group="$group $1" || break ;;
    follow) receive_followed "$1" "$2" "$3" && group="$group $1" || break ;;
    seal)
        wait # one lot is hashed while the next arrives, and no more than one
        finished $group </dev/null &
        group=
        ;;
    gather) gather "$@" || break ;;
    range) receive_range "$@" || break ;;
    digest) digest "$@" || break ;;
    whole) whole "$@" || break ;;
    check) for hex; do check "$hex"; done ;;
    index) show_index ;;
    swap) receive "partial/index.$me" 0 "$2" 3>/dev/null && swap "$1" || break ;;
    agent) agent "$1" ;;
    *) say "unknown $verb"; break ;;
    esac
done
wait
rm -f "leases/push.$me.1"
