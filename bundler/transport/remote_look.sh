# What the far end asks of its host before anything is sent. remote.sh, which comes behind it, calls these functions.

# Whether dd takes as many bytes as it is told to: one that reads further would eat the next request. 2 if it is killed.
counts() {
    case $(printf abcdef | { dd bs=2 iflag=fullblock,count_bytes count=3 2>/dev/null; printf " $? "; cat; }) in
    'abc 0 def') ;;
    *' 1'[3-9]?' '*) return 2 ;;
    *) return 1 ;;
    esac
}

# Says what the host lacks. Chooses what hashes.
tools() {
    lacking=
    for tool in cat chmod cp date dd df ln ls mkdir mv rm sha256sum sleep sort sync timeout tr truncate wc; do
        command -v $tool >/dev/null || lacking="$lacking $tool"
    done
    [ -z "$lacking" ] || { say "lacks$lacking"; return 1; }
    counts
    found=$?
    [ $found -ne 1 ] || { counts; found=$?; } # whoever is killed beside dd leaves less, as a dd does that reads too far
    case $found in
    0) ;;
    2) say 'killed dd'; return 1 ;;
    *) say 'lacks dd of GNU coreutils 8.16 or newer'; return 1 ;;
    esac
    # Where coreutils hash without the processor's SHA instructions, openssl is five times as fast.
    case $(printf abc | openssl dgst -sha256 -r 2>/dev/null) in
    ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad*) hash='openssl dgst -sha256 -r' ;;
    esac
}

# What is said of the room: that the processor has no instructions for AES, and what is free.
free() {
    case $(grep -m 1 -E '^(flags|Features)' /proc/cpuinfo 2>/dev/null) in
    '' | *' aes'*) ;;
    *) say noaes ;;
    esac
    df -Pk "$1" | { read -r line; read -r line; say "bytes $line"; }
    df -Pi "$1" 2>/dev/null | { read -r line; read -r line; say "inodes $line"; }
}

# The same for who only wants to know: nothing is made. Where there is no store, says what is free where it would be.
look() {
    tools || return 1
    if [ -d "$store/blobs/sha256" ]; then
        said=$(cd -- "$store" 2>&1) && cd -- "$store" && store=$(pwd -P) || { trouble $? - "$said"; return 1; }
        free .
        say "ready $store"
        return 0
    fi
    above=$store
    until [ -d "$above/" ]; do
        case $above in
        */*) above=${above%/*} ;;
        *) above=. ;;
        esac
    done
    free "$above/"
    case $store in
    /*) say "absent $store" ;;
    *) say "absent $(pwd -P)/${store#./}" ;;
    esac
}

# Takes bytes to nowhere: so fast is the way here.
sink() {
    dd bs=262144 iflag=fullblock,count_bytes count="$1" of=/dev/null 2>/dev/null && say sunk
}

# Whether a file of so many bytes may be. FAT ends before 4 GiB, and would write all the zeros of a file that is made
# longer, as would some that have no such limit; any other makes a hole.
fits() {
    case $(stat -f -c %T . 2>/dev/null) in
    msdos | vfat)
        if [ "$1" -le 4294967295 ]; then say fits; else say "large $1"; fi
        return
        ;;
    exfat | hfs*) say fits; return ;;
    esac
    said=$(trap '' XFSZ; truncate -s "$1" "partial/probe.$me" 2>&1)
    status=$?
    rm -f "partial/probe.$me"
    case $status,$said in
    0,*) say fits ;;
    *'File too large'*) say "large $1" ;;
    *) trouble $status - "$said" ;;
    esac
}

