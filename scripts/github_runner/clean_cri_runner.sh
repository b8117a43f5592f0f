#!/bin/sh
# Stops the cluster of this node, if there is one, and removes what it left; the node stays set up for the next.
# Usage: clean_cri_runner.sh [firecracker|gvisor|stock-only]
case ${1:-firecracker} in
firecracker | gvisor | stock-only) ;;
*)
    echo "$1 is no sandbox: firecracker, gvisor or stock-only" >&2
    exit 2
    ;;
esac
# What has to be undone is known from when it was done.
if [ -x ./setup_tool ]; then
    exec ./setup_tool clean --cluster
fi
exec vhive setup clean --cluster
