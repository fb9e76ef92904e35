#!/bin/bash
# One node of real Kubernetes in mount, network, process and control group namespaces of its own: root, no registry.
#
#   cluster.sh up              etcd, API server, controllers, scheduler, containerd, kubelet, kube-proxy, CoreDNS, network policies
#   cluster.sh down [keep]     ends the first process of the namespaces, and with it everything in them; keep: the state stays
#   cluster.sh in COMMAND...   runs a command inside
#   cluster.sh image FILE...   imports image archives
#
# What it runs is installed by scripts/kubernetes. CLUSTER_STATE names its folder.
# ipMasq and the veth let pods reach this machine at 10.203.7.1, and this machine reach pods and Services.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
ENGINES=$(cd "$HERE/../../.." && pwd)/.engines
S=${CLUSTER_STATE:-$ENGINES/kubernetes/state}; B=$ENGINES/kubernetes/bin
N=10.203.7; ID=radloop0; NODE=node1
PODS=10.244.0.0/24; SVC=10.97.0.0/16; DNS=10.97.0.10
mkdir -p "$S"; S=$(cd "$S" && pwd); B=$(cd "$B" && pwd)
PATH=$B:$ENGINES/cluster-tools:/usr/sbin:/sbin:$PATH; export KUBECONFIG=$S/admin.conf

nspid() { cat "$S/init.pid" 2>/dev/null || true; }
alive() { local p; p=$(nspid); [ -n "$p" ] && [ "$(cat "/proc/$p/comm" 2>/dev/null)" = tini ]; }   # never kill a reused pid
inns() { nsenter -t "$(nspid)" -m -n -p -i -u -C -- "$@"; }
daemon() { # name cmd...
  local n=$1; shift
  inns setsid "$@" >"$S/logs/$n.log" 2>&1 </dev/null &
}
say() { echo "[$(( $(date +%s) - T0 ))s] $*"; }
until_ok() { # seconds cmd...
  local end=$(( $(date +%s) + $1 )); shift
  until "$@" >/dev/null 2>&1; do [ "$(date +%s)" -lt $end ] || { echo "timed out: $*" >&2; return 1; }; sleep 0.3; done
}
kubeconf() { # file token
  cat >"$1" <<X
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://$N.2:6443", certificate-authority: "$S/pki/apiserver.crt"}}]
users: [{name: u, user: {token: "$2"}}]
X
  chmod 600 "$1"
}

ns_up() {
  mkdir -p "$S"/{logs,pki,etcd,containerd,kubelet,podlogs,run,cni,manifests}
  cat >"$S/init.sh" <<'X'
set -e
mount --make-rslave /; mount --make-rshared /
mount -t proc proc /proc; mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run          # containerd shims, /run/netns, locks: all private
mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
if [ "$CG" = v1 ]; then
  for c in cpu cpuacct cpuset memory devices freezer blkio pids; do mkdir /sys/fs/cgroup/$c; mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c; mkdir -p /sys/fs/cgroup/$c/$ID; done
  for f in cpus mems; do cat /sys/fs/cgroup/cpuset/cpuset.$f >/sys/fs/cgroup/cpuset/$ID/cpuset.$f; done
  mkdir /sys/fs/cgroup/systemd; mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd; mkdir -p /sys/fs/cgroup/systemd/$ID
else umount /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; mkdir -p /sys/fs/cgroup/$ID; fi
hostname "$NODE"; ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
touch "$S/ns-ready"
exec tini -s -- sleep infinity
X
  rm -f "$S/ns-ready"
  CG=v1; [ -e /sys/fs/cgroup/cgroup.controllers ] && CG=v2
  awk -F: '$2=="memory"{print $3}' /proc/self/cgroup >"$S/cgmem"; cat /proc/sys/vm/overcommit_memory /proc/sys/kernel/panic /proc/sys/kernel/panic_on_oops >"$S/sysctl.before"
  CG=$CG NODE=$NODE S=$S ID=$ID setsid unshare --mount --net --pid --ipc --uts --cgroup --fork --kill-child \
    bash "$S/init.sh" >"$S/logs/init.log" 2>&1 </dev/null &
  local u=$!
  until_ok 10 test -e "$S/ns-ready"
  pgrep -P $u >"$S/init.pid"
  ip link add $ID type veth peer name $ID-p
  ip link set $ID-p netns "$(nspid)"
  ip addr add $N.1/24 dev $ID; ip link set $ID up
  inns ip link set $ID-p name eth0; inns ip addr add $N.2/24 dev eth0; inns ip link set eth0 up; inns ip route add default via $N.1
  ip route add "$PODS" via $N.2; ip route add "$SVC" via $N.2    # pods and ClusterIPs reachable from the host
}

control_up() {
  [ -s "$S/pki/sa.key" ] || openssl genrsa -out "$S/pki/sa.key" 2048 2>/dev/null
  local t; t() { head -c16 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
  if [ ! -s "$S/pki/tokens.csv" ]; then
    { echo "$(t),admin,u1,\"system:masters\""; echo "$(t),system:kube-controller-manager,u2"; echo "$(t),system:kube-scheduler,u3"
      echo "$(t),system:node:$NODE,u4,\"system:nodes\""; echo "$(t),system:kube-proxy,u5"; } >"$S/pki/tokens.csv"
    chmod 600 "$S/pki/tokens.csv"
  fi
  for u in admin:admin system:kube-controller-manager:kcm system:kube-scheduler:scheduler system:node:$NODE:kubelet system:kube-proxy:proxy; do
    kubeconf "$S/${u##*:}.conf" "$(awk -F, -v u="${u%:*}" '$2==u{print $1}' "$S/pki/tokens.csv")"
  done
  daemon etcd etcd --data-dir "$S/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --unsafe-no-fsync
  daemon apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --cert-dir="$S/pki" --secure-port=6443 \
    --advertise-address=$N.2 --bind-address=0.0.0.0 --service-cluster-ip-range="$SVC" --authorization-mode=Node,RBAC \
    --enable-admission-plugins=NodeRestriction --token-auth-file="$S/pki/tokens.csv" --allow-privileged=true \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$S/pki/sa.key" \
    --service-account-signing-key-file="$S/pki/sa.key" --kubelet-preferred-address-types=InternalIP --profiling=false
  until_ok 120 kubectl get --raw /readyz; say "API server"
  daemon kcm kube-controller-manager --kubeconfig="$S/kcm.conf" --authentication-kubeconfig="$S/kcm.conf" --authorization-kubeconfig="$S/kcm.conf" \
    --use-service-account-credentials --service-account-private-key-file="$S/pki/sa.key" --root-ca-file="$S/pki/apiserver.crt" \
    --leader-elect=false --cert-dir="$S/pki/kcm" --bind-address=127.0.0.1
  daemon scheduler kube-scheduler --kubeconfig="$S/scheduler.conf" --authentication-kubeconfig="$S/scheduler.conf" \
    --authorization-kubeconfig="$S/scheduler.conf" --leader-elect=false --cert-dir="$S/pki/sched" --bind-address=127.0.0.1
  until_ok 60 kubectl get serviceaccount default; say "controllers"
}

node_up() {
  cat >"$S/containerd.toml" <<X
version = 2
root = "$S/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "local/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true      # root here may lack CAP_SYS_RESOURCE
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$S/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
X
  cat >"$S/cni/10-bridge.conflist" <<X
{"cniVersion": "0.4.0", "name": "kt", "plugins": [
 {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
  "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam", "ranges": [[{"subnet": "$PODS"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
 {"type": "portmap", "capabilities": {"portMappings": true}}]}
X
  cat >"$S/kubelet.yaml" <<X
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /$ID
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: true
enforceNodeAllocatable: ["pods"]
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
evictionPressureTransitionPeriod: 5s
imageGCHighThresholdPercent: 100
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
podLogsDir: $S/podlogs
staticPodPath: $S/manifests
volumePluginDir: $S/kubelet/volume-plugins
clusterDNS: [$DNS]
clusterDomain: cluster.local
resolvConf: ""
registerNode: true
maxPods: 60
syncFrequency: 5s
nodeStatusUpdateFrequency: 3s
shutdownGracePeriod: 0s
X
  daemon containerd containerd -c "$S/containerd.toml"
  until_ok 30 inns ctr --address /run/containerd/containerd.sock version
  for i in "$ENGINES"/kubernetes/images/*.tar; do [ -e "$i" ] && inns ctr -n k8s.io images import "$i" >/dev/null; done
  # The kubelet may remove what no pod uses, and nobody could get this one again.
  inns ctr -n k8s.io images label docker.io/local/pause:1 io.cri-containerd.pinned=pinned >/dev/null; say "containerd"
  daemon kubelet kubelet --kubeconfig="$S/kubelet.conf" --config="$S/kubelet.yaml" --root-dir="$S/kubelet" --cert-dir="$S/kubelet/pki" \
    --hostname-override=$NODE --node-ip=$N.2 --v=1
  kubectl create clusterrolebinding kt-node --clusterrole=system:node --group=system:nodes --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  daemon proxy kube-proxy --kubeconfig="$S/proxy.conf" --proxy-mode=nftables --cluster-cidr="$PODS" --hostname-override=$NODE \
    --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0 --healthz-bind-address=127.0.0.1:10256
  until_ok 90 kubectl wait --for=condition=Ready node/$NODE --timeout=1s; say "node ready"
}

dns_up() { # coredns as a host process of the node, behind a selector-less Service
  [ -x "$B/coredns" ] || return 0
  cat >"$S/Corefile" <<X
.:1053 {
  errors
  kubernetes cluster.local in-addr.arpa { 
    kubeconfig $S/admin.conf c
  }
  cache 5
}
X
  daemon coredns coredns -conf "$S/Corefile"
  kubectl apply -f - >/dev/null <<X
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: $DNS, ports: [{name: dns, port: 53, protocol: UDP, targetPort: 1053}, {name: dns-tcp, port: 53, protocol: TCP, targetPort: 1053}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-1, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
endpoints: [{addresses: ["$N.2"], conditions: {ready: true}}]
ports: [{name: dns, port: 1053, protocol: UDP}, {name: dns-tcp, port: 1053, protocol: TCP}]
X
  say "CoreDNS"
}

clean() { # of what a run that was ended left: its namespaces, and the volumes it was given
  kubectl get namespaces -o name | grep -v -e /default -e /kube- -e /kueue-system | xargs -r kubectl delete --timeout=180s >/dev/null
  kubectl get persistentvolumes -o name | xargs -r kubectl delete --timeout=60s >/dev/null
  rm -rf "$S"/volumes/*
}

volumes_up() { # what a provisioner of a cluster would make when it is asked: folders that the pods' group may write to
  { cat <<X
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: folders, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
X
    for i in 1 2 3 4 5 6 7 8; do
      install --directory --owner=10001 --group=10001 "$S/volumes/$i"
      cat <<X
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: folder-$i}
spec: {capacity: {storage: 10Gi}, accessModes: [ReadWriteOnce], hostPath: {path: $S/volumes/$i}, storageClassName: folders, persistentVolumeReclaimPolicy: Retain}
X
    done; } | kubectl apply -f - >/dev/null
  say "volumes"
}

case ${1:-} in
  up) alive && { echo "cluster: it is up already; end it with: $0 down" >&2; exit 1; }
      T0=$(date +%s); ns_up; say "namespaces"; control_up; node_up; dns_up; clean; volumes_up
      daemon netpol python3 "$HERE/netpol.py" "$B/kubectl" "$S/admin.conf"
      echo "export KUBECONFIG=$S/admin.conf" ;;
  down)
    if alive; then kill -9 "$(nspid)"; fi
    ip link del $ID 2>/dev/null || true; sleep 1
    for d in /sys/fs/cgroup/*; do   # leftover empty pod cgroups of the dead namespace
      q=$d; [ "${d##*/}" = memory ] && q=$d$(cat "$S/cgmem")
      [ -d "$q/$ID" ] && find "$q/$ID" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done
    if [ -s "$S/sysctl.before" ]; then { read a; read b; read c; } <"$S/sysctl.before"
      echo "$a" >/proc/sys/vm/overcommit_memory; echo "$b" >/proc/sys/kernel/panic; echo "$c" >/proc/sys/kernel/panic_on_oops; fi
    [ "${2:-}" = keep ] || rm -rf "$S"/{etcd,containerd,kubelet,podlogs,run,pki,volumes,init.pid} ;;
  in) shift; inns "$@" ;;
  image) shift; for i; do inns ctr -n k8s.io images import "$(realpath "$i")"; done ;;
  *) sed -n '2,10p' "$0"; exit 2 ;;
esac
