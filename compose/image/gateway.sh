#!/bin/sh
# Runs the switch with the given arguments, once it has the addresses in $GATEWAY_ADDRESSES: those that the hosts of
# each network know as their gateway. No engine gives such an address to a container by itself.
set -eu
for address in ${GATEWAY_ADDRESSES:-}; do
  # "2: eth0    inet 10.202.1.2/24 ...": the interface that has an address in the same network.
  interface=$(ip -o -4 address show to "$address" | { read -r _ name _ || exit 1; echo "$name"; })
  ip address replace "$address" dev "$interface"
done
# What the engine set up before that: it would lead to this host itself.
ip route delete default 2>/dev/null || :
exec suture switch "$@"
