#!/usr/bin/env bash
# DDP across two hosts, here two network namespaces of one machine (root and iproute2 are needed):
#   benchmarks/devices/hosts.sh [python] ["identity dies"]
# A search trains, one candidate is the plain fit bit for bit, and a host that dies ends the other one with a message.
set -eu
python=${1:-python}
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$(mktemp -d)
clean() { ip netns del gammabo0 2>/dev/null || true; ip netns del gammabo1 2>/dev/null || true; rm -rf "$out"; }
trap clean EXIT
ip netns add gammabo0 && ip netns add gammabo1
ip link add veth0 netns gammabo0 type veth peer name veth1 netns gammabo1
for host in 0 1; do
    ip -n gammabo$host addr add 10.99.0.$((host + 1))/24 dev veth$host
    ip -n gammabo$host link set veth$host up
    ip -n gammabo$host link set lo up
done
on_host() { # host, then arguments of the fit
    ip netns exec "gammabo$1" env MASTER_ADDR=10.99.0.1 MASTER_PORT=29511 NODE_RANK="$1" GLOO_SOCKET_IFNAME="veth$1" \
        OMP_NUM_THREADS=1 PYTHONPATH="$root" "$python" -m benchmarks.devices.hosts "${@:2}" >"$out/$1.log" 2>&1
}
for task in ${2:-identity dies}; do
    began=$SECONDS
    on_host 1 "$task" & other=$!
    code=0; on_host 0 "$task" || code=$?
    other_code=0; wait $other || other_code=$?
    echo "$task: exit codes $code and $other_code after $((SECONDS - began)) s; host 0 said: $(tail -n 1 "$out/0.log")"
done
