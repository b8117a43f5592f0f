#!/bin/sh
# One program under many names: it records that it was called, fails when it is told to, and keeps in files what the real one
# would have changed. Nothing but what set-up looks at is kept.
S=/standin-state
name=${0##*/}
line="$name $*"
for last; do :; done

echo "$line" >>$S/calls
if [ -d $S/failed ]; then
    key=$line
    # The folder of a download is another every time.
    [ "$name" = curl ] && key="curl $last"
    key=$(echo "$key" | cksum)
    if mkdir "$S/failed/${key%% *}" 2>/dev/null; then
        echo "$name: told to fail" >&2
        # For some programs 1 is an answer.
        exit 100
    fi
fi

# The words without options.
plain() {
    for word; do
        case $word in -*) ;; *) echo "$word" ;; esac
    done
}

stored() { echo "$S/cluster/$(echo "$1" | tr -c 'a-z\n' _)"; }

case $name in
apt-get)
    verb=
    for word; do
        case $verb:$word in
        *:-*) ;;
        :update) exit 0 ;;
        :install | :remove) verb=$word ;;
        install:*=*) echo "${word#*=}" >"$S/packages/${word%%=*}" ;;
        install:*) echo 1.0 >"$S/packages/$word" ;;
        remove:*) rm -f "$S/packages/$word" "$S/held/$word" ;;
        esac
    done
    ;;
apt-mark) shift; for word; do : >"$S/held/$word"; done ;;
add-apt-repository) : >$S/universe ;;
apt-cache) [ -e $S/universe ] ;;
dpkg-query)
    shift 3
    status=0
    for word; do
        if [ -e "$S/packages/$word" ]; then
            read -r version <"$S/packages/$word"
            mark=i; [ -e "$S/held/$word" ] && mark=h
            echo "${mark}i |$word|$version"
        else
            status=1
        fi
    done
    exit $status
    ;;
systemctl)
    case $1 in
    daemon-reload) ;;
    enable) : >"$S/enabled/$2" ;;
    is-enabled) [ -e "$S/enabled/$last" ] ;;
    start | restart)
        : >"$S/active/$2"
        if [ "$2" = vhive-cri.service ]; then mkdir -p /etc/vhive-cri; : >/etc/vhive-cri/vhive-cri.sock; fi
        ;;
    stop) rm -f "$S/active/$2" ;;
    show) if [ -e "$S/active/$last" ]; then echo active; else echo inactive; fi ;;
    disable) rm -f "$S/enabled/$last" "$S/active/$last" ;;
    esac
    ;;
modprobe) mkdir -p "/sys/module/$1" ;;
sysctl)
    if [ "$1" = -n ]; then
        shift
        for word; do cat "$S/sysctl/$word" 2>/dev/null || exit 1; done
    else
        while read -r key equals value; do
            [ "$equals" = "=" ] && echo "$value" >"$S/sysctl/$key"
        done <"$last"
    fi
    ;;
swapon) if [ "$1" = -a ]; then : >$S/swap; elif [ -e $S/swap ]; then echo /swapfile; fi ;;
swapoff) rm -f $S/swap ;;
curl)
    while [ "$1" != -o ]; do shift; done
    cp "$S/www/$(echo "$last" | tr -c 'A-Za-z0-9\n' _)" "$2"
    ;;
kubeadm)
    case "$1 $2" in
    "init "*)
        # As the real one: it does not start where something was begun.
        [ -e /etc/kubernetes ] && exit 1
        mkdir /etc/kubernetes
        cp /var/lib/vhive/setup/kubeadm.yaml /etc/kubernetes/admin.conf
        : >$S/cluster/tainted
        ;;
    "join "*) mkdir -p /etc/kubernetes; : >/etc/kubernetes/kubelet.conf ;;
    "reset "*) rm -rf /etc/kubernetes $S/cluster/* ;;
    "token create")
        echo abcdef.0123456789abcdef >$S/cluster/token
        echo "kubeadm join 10.9.9.1:6443 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash sha256:0011"
        ;;
    "token list") cat $S/cluster/token ;;
    "config images") echo registry.k8s.io/kube-apiserver:v1 ;;
    esac
    ;;
istioctl) : >$S/cluster/istio ;;
kn) [ -e "$KUBECONFIG" ] ;;
vhive) if [ "$2" = fetch ]; then : >$S/kernel; elif [ -e $S/kernel ]; then echo linux; fi ;;
git) mkdir -p "$last"; : >"$last/toplev.py" ;;
kubectl)
    [ -e "$2" ] || exit 1
    shift 2
    case "$*" in
    "diff "*) [ "$(cat "$last"/* | cksum)" = "$(cat "$(stored "$last")" 2>/dev/null)" ] ;;
    "apply -f - "*) cat >$S/cluster/kube-proxy ;;
    "apply "*) cat "$last"/* | cksum >"$(stored "$last")" ;;
    "delete "*) rm -f "$(stored "$last")" ;;
    "get configmap kube-proxy"*) cat /etc/kubernetes/admin.conf ;;
    "get nodes"*) if [ -e $S/cluster/tainted ]; then echo node-role.kubernetes.io/control-plane; fi ;;
    "taint "*) rm $S/cluster/tainted ;;
    *"deploy/istiod"*) [ -e $S/cluster/istio ] && echo pilot:1.29.2 ;;
    *"config-domain"*) [ -e $S/cluster/*domain* ] && echo sslip.io ;;
    "get configmap/config-tracing"*) [ -e $S/cluster/tracing ] && echo zipkin ;;
    "patch "*none*) rm $S/cluster/tracing ;;
    "patch "*) : >$S/cluster/tracing ;;
    esac
    ;;
*) ;;
esac
