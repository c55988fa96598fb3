# The far end's index and agent, written last, and the lock that they are written under. Part of remote.sh, which
# comes behind it.

sum() {
    sum=absent
    [ ! -e "$1" ] || { sum=$(sha256sum <"$1"); sum=${sum%% *}; }
}

owner() {
    printf '{"host": "%s", "machine": "%s", "boot": "%s", "pid": %s, "start": "%s", "since": %s, "namespace": "%s"}' \
        "$host" "$machine" "$boot" $$ "$my_start" "$(date +%s)" "$namespace"
}

# The lock of bundler/store/locking.py: a file that says who holds it, whole when it appears.
lock() {
    # a lock that does not say whose it is would be held for ever
    said=$({ owner >"index.lock.$me" && sync "index.lock.$me"; } 2>&1) ||
        { trouble $? index.lock "$said"; rm -f "index.lock.$me"; return 2; }
    tries=$((lock_seconds * 10))
    until ln "index.lock.$me" index.lock 2>/dev/null; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { rm -f "index.lock.$me"; return 1; }
        break_lock index.lock || sleep 0.1
    done
    rm -f "index.lock.$me"
}

# Removes the lock of a process that is gone, as bundler/store/locking.py does: only who holds LOCK.stale may, else one
# who looked before another had taken the lock over would remove that one's. A subshell, for variables of its own.
break_lock() (
    dead=$(cat "$1" 2>/dev/null) && gone "$dead" || exit 1
    ln "index.lock.$me" "$1.stale" 2>/dev/null || { break_lock "$1.stale"; exit 1; }
    [ "$(cat "$1" 2>/dev/null)" != "$dead" ] || rm -f "$1"
    rm -f "$1.stale"
)

gone() {
    member "$1" host && [ "$value" = "$host" ] && member "$1" machine && [ "$value" = "$machine" ] || return 1
    member "$1" boot && [ "$value" = "$boot" ] || return 0
    if [ -n "$namespace" ] && member "$1" namespace && [ -n "$value" ] && [ "$value" != "$namespace" ]; then
        return 1 # a container's pids are its own
    fi
    member "$1" pid && started "$value" && member "$1" start && [ "$value" != "$start" ]
}

# Sets $value: a member of a flat JSON object.
member() {
    value=${1#*\""$2"\":}
    [ "$value" != "$1" ] || return 1
    value=${value# }
    case $value in
    \"*) value=${value#\"}; value=${value%%\"*} ;;
    *) value=${value%%[,\}]*} ;;
    esac
}

show_index() {
    said=$(cp -- index.json "partial/index.$me" 2>&1) || { trouble $? index.json "$said"; return 1; }
    sum "partial/index.$me"
    say "index $sum $(($(wc -c <"partial/index.$me")))"
    cat "partial/index.$me"
    rm -f "partial/index.$me"
}

# Puts the new index, which lies in partial/, in the place of the one that it was made from, and of no other.
swap() {
    lock || { [ $? -eq 2 ] || say "held index.lock $(cat index.lock)"; return 1; }
    sum index.json
    if [ "$sum" != "$1" ]; then
        said=changed
    else
        said=$({ sync "partial/index.$me" && mv -f "partial/index.$me" index.json && sync .; } 2>&1)
        status=$?
        [ $status -ne 0 ] || said=swapped
    fi
    rm -f index.lock "partial/index.$me"
    case $said in
    changed | swapped) say $said ;;
    *) trouble $status index.json "$said" ;;
    esac
}

# The agent is a copy of its blob that may be executed.
agent() {
    sum bundle
    if [ "$sum" != "$1" ] || [ ! -x bundle ]; then
        said=$({ cp -- "blobs/sha256/$1" "partial/agent.$me" && chmod 755 "partial/agent.$me" &&
            sync "partial/agent.$me" && mv -f "partial/agent.$me" bundle && sync .; } 2>&1) ||
            { trouble $? bundle "$said"; rm -f "partial/agent.$me"; return 1; }
    fi
    say agent
}
