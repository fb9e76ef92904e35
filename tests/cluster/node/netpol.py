"""Enforces NetworkPolicy on the one node of cluster.sh: asks the API server again and again, and writes one table of nftables.

It stands in for a cluster's network plugin, none of which could be had. Only what is forwarded to or from a pod is looked at: what
a pod says to the node itself (API server, DNS) stays open, and the kubelet's probes are never in the way.

python netpol.py KUBECTL KUBECONFIG, in the node's namespaces
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

LOOK_EVERY_S = 0.5
TABLE = "ip radloop_netpol"


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector fits."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for each in selector.get("matchExpressions") or []:
        has, value, values = each["key"] in labels, labels.get(each["key"]), each.get("values", [])
        fits = {
            "In": has and value in values,
            "NotIn": not has or value not in values,
            "Exists": has,
            "DoesNotExist": not has,
        }
        if not fits[each["operator"]]:
            return False
    return True


class Ruler:
    """Turns policies into rules.

    Parameters
    ----------
    pods, namespaces, policies
        As the API gives them; pods that have an address.
    """

    def __init__(self, pods: Sequence[Any], namespaces: Mapping[str, Any], policies: Sequence[Any]) -> None:
        self._pods, self._namespaces, self._policies = pods, namespaces, policies

    def table(self) -> str:
        """Return the table, as nft reads it."""
        chains, jumps = [], []
        for number, ((address, way), rules) in enumerate(sorted(self._rules().items())):
            chains.append(f"chain p{number} {{ {'; '.join([*rules, 'drop'])}; }}")
            jumps.append(f"ip {'daddr' if way == 'Ingress' else 'saddr'} {address} jump p{number}")
        hook = "type filter hook forward priority 10; policy accept; ct state established,related accept"
        chains.append(f"chain pods {{ {'; '.join([hook, *jumps, ''])} }}")
        return "\n".join([f"table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{", *chains, "}"])

    def _rules(self) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        for policy in self._policies:
            namespace, spec = policy["metadata"]["namespace"], policy["spec"]
            types = spec.get("policyTypes") or ["Ingress"] + (["Egress"] if spec.get("egress") else [])
            for pod in self._pods:
                if pod["namespace"] != namespace or not selects(spec.get("podSelector", {}), pod["labels"]):
                    continue
                for way, peer, who in (("Ingress", "from", "saddr"), ("Egress", "to", "daddr")):
                    if way not in types:
                        continue
                    rules = found.setdefault((pod["address"], way), [])
                    for rule in spec.get(way.lower()) or []:
                        for place in self._peers(namespace, rule.get(peer)):
                            for port in _ports(rule.get("ports"), [pod] if way == "Ingress" else self._pods):
                                rules.append(f"{place.replace('%s', who)} {port} return".strip())
        return found

    def _peers(self, namespace: str, peers: Sequence[Any] | None) -> list[str]:
        if not peers:
            return [""]
        found = []
        for peer in peers:
            if block := peer.get("ipBlock"):
                but = ", ".join(block.get("except") or [])
                found.append(f"ip %s {block['cidr']}" + (f" ip %s != {{ {but} }}" if but else ""))
                continue
            addresses = [pod["address"] for pod in self._pods if self._is_peer(peer, pod, namespace)]
            if addresses:
                found.append("ip %s { " + ", ".join(addresses) + " }")
        return found

    def _is_peer(self, peer: Mapping[str, Any], pod: Mapping[str, Any], namespace: str) -> bool:
        if "namespaceSelector" in peer:
            near = selects(peer["namespaceSelector"], self._namespaces.get(pod["namespace"], {}))
        else:
            near = pod["namespace"] == namespace
        return near and selects(peer.get("podSelector", {}), pod["labels"])


def _ports(ports: Sequence[Any] | None, listeners: Sequence[Any]) -> list[str]:
    found = []
    for each in ports or []:
        protocol, port = each.get("protocol", "TCP").lower(), each.get("port")
        if port is None:
            found.append(f"meta l4proto {protocol}")
            continue
        if isinstance(port, str):  # by name: only who listens knows
            numbers = {pod["ports"][port] for pod in listeners if port in pod["ports"]}
        else:
            numbers = {port}
        end = f"-{each['endPort']}" if each.get("endPort") else ""
        found += [f"{protocol} dport {number}{end}" for number in sorted(numbers)]
    return found if ports else [""]


def look(kubectl: Sequence[str]) -> Ruler:
    """Ask the API server for policies, pods and namespaces."""
    command = [*kubectl, "get", "networkpolicies,pods,namespaces", "--all-namespaces", "--output", "json"]
    objects = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["items"]
    pods = [
        {
            "namespace": each["metadata"]["namespace"],
            "address": each["status"]["podIP"],
            "labels": each["metadata"].get("labels", {}),
            "ports": {
                port["name"]: port["containerPort"]
                for container in each["spec"]["containers"]
                for port in container.get("ports", [])
                if "name" in port
            },
        }
        for each in objects
        if each["kind"] == "Pod"
        and each["status"].get("podIP")
        and each["status"].get("phase") in ("Running", "Pending")
        and not each["spec"].get("hostNetwork")
    ]
    namespaces = {
        each["metadata"]["name"]: each["metadata"].get("labels", {}) for each in objects if each["kind"] == "Namespace"
    }
    return Ruler(pods, namespaces, [each for each in objects if each["kind"] == "NetworkPolicy"])


def main() -> None:
    """Look and write, for ever."""
    kubectl, written = [sys.argv[1], "--kubeconfig", sys.argv[2]], ""
    while True:
        try:
            table = look(kubectl).table()
            if table != written:
                subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)
                print(table, flush=True)
                written = table
        except (subprocess.CalledProcessError, ValueError, KeyError) as error:
            print(f"again: {error}", flush=True)
        time.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    main()
