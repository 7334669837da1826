#!/usr/bin/env bash
# Where the CPU time of an echo goes, by function: what TCP costs, what the ring or epoll costs, what our code costs.
#
#   examples/profile.sh ENGINE CONNECTIONS [more flags of `fourtuple run`]
#
# Needs root, perf and a fourtuple in the PATH or in $FOURTUPLE. A first run, without perf, says what an echo takes; a
# second one, under perf, says in which shares. Nothing of this is ever part of a run whose rate is quoted.
set -euo pipefail

fourtuple=${FOURTUPLE:-fourtuple}
engine=${1:?an engine} connections=${2:?a number of connections}
shift 2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

run() {
    "$fourtuple" run --engine "$engine" --connections "$connections" --duration "$1" "${@:2}" --json 2>/dev/null
}

number() { # of a record: the value of a key that is there once
    sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p"
}

run 3s "$@" >"$scratch/plain.json"
run 8s "$@" >"$scratch/profiled.json" &
running=$!
sleep 2.5
for side in server client; do
    process=$(pgrep -x "ft-$side" | tail -n 1)
    perf record --quiet -e cpu-clock -F 1999 -p "$process" -o "$scratch/$side" -- sleep 4 >/dev/null 2>&1 &
done
wait "$running"
wait

# What a function is of, by its name; whatever nothing matches is the rest of the kernel.
classes='
function of(object, name) {
    if (object ~ /fourtuple/) return "this program"
    if (object !~ /kernel|^\[/) return "libc and vdso"
    if (name ~ /^_*(io_|sys_io_uring|do_sys_io_uring|x64_sys_io_uring|llist_reverse|task_work)/) return "io_uring"
    if (name ~ /^_*(ep_|epoll|eventpoll|do_epoll|x64_sys_epoll|sock_poll|tcp_poll)/) return "epoll"
    if (name ~ /entry_SYSCALL|syscall|x64_sys|x64_call|fdget|fget|fput|sockfd|import_ubuf|^__sys_|move_addr/) return "system calls, descriptors"
    if (name ~ /sched|try_to_wake|finish_task|enqueue_task|dequeue|pick_next|ttwu|idle|prepare_to_wait|_wake|hrtimer|write_msr|switch|update_curr|update_load|psi_/ && name !~ /tcp/) return "sleeping and waking"
    if (name ~ /tcp|inet|^_*ip_|ipv4|bbr|sk_|sock|rtt|dst_|nf_/) return "TCP, IP, sockets"
    if (name ~ /skb|kmem|slab|kfree|alloc|copy|memcpy|memset|page|csum/) return "packets, memory, copying"
    if (name ~ /softirq|napi|net_rx|netif|backlog|loopback|dev_|xmit|bh_/) return "loopback device, softirq"
    if (name ~ /spin|lock|mutex|rcu/) return "locks, and interrupts let in"
    return "the rest of the kernel"
}'
echo "| $engine, $connections connections | server | ns an echo | client | ns an echo |"
echo "| --- | ---: | ---: | ---: | ---: |"
for side in server client; do
    perf report -i "$scratch/$side" --stdio --percent-limit 0 -F overhead,dso,sym 2>/dev/null |
        awk "$classes"' /%/ { gsub("%", "", $1); share[of($2, $4)] += $1 }
            END { for (one in share) printf "%s\t%s\n", one, share[one] }' >"$scratch/$side.shares"
done
awk -F '\t' -v server="$(number server_ns_per_echo <"$scratch/plain.json")" \
    -v client="$(number client_ns_per_echo <"$scratch/plain.json")" '
    FNR == NR { servers[$1] = $2; seen[$1]; next }
    { clients[$1] = $2; seen[$1] }
    END { for (one in seen)
        printf "%07.3f| %s | %.1f %% | %.0f | %.1f %% | %.0f |\n", 100 - servers[one], one,
            servers[one], servers[one] * server / 100, clients[one], clients[one] * client / 100 }' \
    "$scratch/server.shares" "$scratch/client.shares" | sort | sed 's/^[0-9.]*//'
