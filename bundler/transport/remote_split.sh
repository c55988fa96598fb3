# The far end of a blob that comes in ranges over several connections. remote.sh, which comes behind it, calls these
# functions. All connections write into one file, each range at its place, so the file has holes and its length says
# nothing: each connection notes in a file of its own what it has written whole.
#
#   partial/split-HEX.FIRST        the bytes; FIRST is the far end that began it
#   partial/ranges-HEX-FIRST.ME    a line `OFFSET COUNT` for each range that the far end ME wrote
#
# Whoever has such notes and lives is a writer: only what no one else writes is taken over.

# Whether I alone write to this split file, from now on. Of two who ask at once, both may be told no.
join() {
    notes=partial/ranges-${1#partial/split-}
    notes=${notes%%.*}-${notes#*.}
    fresh=
    [ -e "$notes.$me" ] || { fresh=1; { true >>"$notes.$me"; } 2>/dev/null || return 1; }
    for writer in "$notes".*; do
        [ "$writer" = "$notes.$me" ] || abandoned "$writer" || { [ -z "$fresh" ] || rm -f -- "$notes.$me"; return 1; }
    done
}

# Whether no one living writes to it. Sets $notes.
deserted() {
    notes=partial/ranges-${1#partial/split-}
    notes=${notes%%.*}-${notes#*.}
    abandoned "$1" || return 1
    for writer in "$notes".*; do
        [ ! -e "$writer" ] || abandoned "$writer" || return 1
    done
}

# Sets $prefix: how much of a split file is there without a hole. Whatever a crash left of a line is passed over.
unbroken() {
    prefix=$(sort -n "$notes".* 2>/dev/null | {
        end=0
        while read -r at count; do
            case $at,$count in *[!0-9,]* | ,* | *, | 0[0-9]* | *,0*) continue ;; esac
            [ "$at" -le "$end" ] || break
            [ $((at + count)) -le "$end" ] || end=$((at + count))
        done
        echo "$end"
    })
    size=$(wc -c <"$1") || size=0
    [ "$prefix" -le "$size" ] || prefix=$size
}

# Sets $held: the bytes that a split file takes of the disk, $prefix at least. Whoever goes on needs them no second time,
# what lies behind a hole and what was not noted included.
held() {
    held=$(ls -sk -- "$1") || held=0
    held=${held#"${held%%[0-9]*}"}
    held=$((${held%% *} * 1024))
    [ "$held" -ge "$prefix" ] || held=$prefix
}

# Tells of what is begun and can be gone on with, as ls would of a file; removes what no one needs.
list_split() {
    for file in partial/split-*; do
        [ -f "$file" ] && deserted "$file" || continue
        stem=${file#*-}
        stem=${stem%%.*}
        if [ -f "blobs/sha256/$stem" ]; then
            [ "${1-}" = kept ] || rm -f -- "$file" "$notes".*
        else
            unbroken "$file"
            held "$file"
            say "- 1 0 0 $held - partial/$stem.split"
        fi
    done
    for writer in partial/ranges-*; do
        [ "${1-}" != kept ] && [ -f "$writer" ] && abandoned "$writer" || continue
        stem=${writer#*-}
        stem=${stem%.*}
        [ -f "partial/split-${stem%%-*}.${stem#*-}" ] || rm -f -- "$writer"
    done
}

# Takes over a split file for who goes on over one connection: only what has no hole, under the name that says so.
straighten() {
    for file in "partial/split-$1".*; do
        [ -f "$file" ] && abandoned "$file" && join "$file" || continue
        unbroken "$file"
        if truncate -s "$prefix" -- "$file" && mv -f -- "$file" "partial/$1.$me.1"; then
            size=$(wc -c <"partial/$1.$me" 2>/dev/null) || size=-1
            [ "$prefix" -le "$size" ] || mv -f -- "partial/$1.$me.1" "partial/$1.$me"
            rm -f -- "partial/$1.$me.1"
        fi 2>/dev/null
        rm -f -- "$notes".*
    done
}

# Finds what is there of a blob, or begins it, for several connections. The push that names FIRST has begun it.
gather() {
    first=
    split=partial/split-$1.${2-}
    if [ -n "${2-}" ] && [ -f "$split" ]; then
        first=$2
    else
        for split in "partial/split-$1".*; do
            [ -f "$split" ] && { [ "${split#*.}" = "$me" ] || abandoned "$split"; } && join "$split" || continue
            if [ -z "$first" ]; then first=${split#*.}; else rm -f -- "$split" "$notes".*; fi
        done
    fi
    split=partial/split-$1.${first:=$me}
    notes=partial/ranges-$1-$first
    said=$({ true >>"$split" && true >>"$notes.$me"; } 2>&1) || { trouble $? "$1" "$said"; return 1; }
    if [ "$first" != "${2-}" ]; then # what others of this push are writing stays
        unbroken "$split"
        adopt "$1" >/dev/null
        if [ "$longest" -gt "$prefix" ] && mv -f -- "partial/$1.$me" "$split"; then
            rm -f -- "$notes".*
            echo "0 $longest" >"$notes.$me"
        fi
        rm -f -- "partial/$1.$me"
    fi
    for writer in "$notes".*; do
        while read -r at count; do say "had $at $count"; done <"$writer"
    done
    say "gathered $1 $first $(($(wc -c <"$split")))"
}

# Takes COUNT bytes from OFFSET on. What had come when stdin ended is noted, too.
receive_range() {
    file=partial/split-$1.$2
    notes=partial/ranges-$1-$2.$me
    [ -f "$file" ] || return 1 # someone took it away
    said=$({ true >>"$notes"; } 2>&1) || { trouble $? "$1" "$said"; return 1; }
    pour "$file" "$3" "$4" nocreat
    status=$?
    [ "$came" -eq 0 ] || said=$({ echo "$3 $came" >>"$notes"; } 2>&1) || { trouble $? "$1" "$said"; return 1; }
    [ $status -eq 0 ] && say "got $1 $3"
}

# Hashes a split file while it comes: a line on stdin says how much more of it is there without a hole; `end` ends it.
digest() {
    sum=$({ { grow "partial/split-$1.$2" && echo all >&6; } | $hash; } 6>&1) ||
        { trouble $? "$1" "it can't be hashed"; return 1; }
    case $sum in "all$nl"*) ;; *) say "killed $1"; return 1 ;; esac # a dd, or stdin ended
    sum=${sum#*"$nl"}
    known="$1 ${sum%% *}"
}

grow() {
    exec 5<"$1" || return 1
    while read -r part; do
        [ "$part" != end ] || return 0
        copy 5 "$part" || return 1
    done
    return 1
}

# Syncs what has been hashed, all SIZE bytes of it, and gives it its name. Where someone took it away: no answer.
whole() {
    file=partial/split-$1.$2
    notes=partial/ranges-$1-$2
    [ -f "$file" ] && [ "${known% *}" = "$1" ] || return 1
    sum=${known#* }
    known=
    if [ "$sum" != "$1" ]; then
        rm -f -- "$file" "$notes".*
        say "bad $1 $sum"
        return 0
    fi
    [ $(($(wc -c <"$file"))) -eq "$3" ] || truncate -s "$3" -- "$file" || return 1
    said=$({ chmod 444 "$file" && sync "$file" && mv -f -- "$file" "blobs/sha256/$1" && sync blobs/sha256; } 2>&1) ||
        { trouble $? "$1" "$said"; return 1; }
    rm -f -- "$notes".*
    say "ok $1"
}

