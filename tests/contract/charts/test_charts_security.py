"""What a security review asks of the charts, asked of every example: what runs as whom, with which secret, and reaches what."""

import base64
import runpy
from collections.abc import Iterator
from typing import Any

import pytest

from radloop.jobs.manifest import ROLE, JobSettings, job_manifest
from radloop.settings import load
from standalone.layout import SERVICES
from tests.contract.charts.rendering import ROOT, named, pods_of

SETTINGS_OF = runpy.run_path(str(ROOT / "docs" / "generate.py"))["settings_of"]
VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
WITHOUT_PROBES = {"mirror", "migrate", "smoke-test", "setup-1"}
"""MirrorMaker answers to nobody: it is begun again when it ends. The others end by themselves."""
BUNDLED = {"kafka": "radloop-bundled", "postgresql": "radloop-bundled", "objects": "radloop-objects"}
"""Engines to try, and the one Secret each may hold."""
SHARED = {"radloop-objects", "kafka-ca", "postgresql-ca", "s3-ca"}
SECRETS = {
    "ingest": {"radloop-events", "radloop-database", "site-key", "radloop-archives"} | SHARED,
    "inference": {"radloop-events", "radloop-database"} | SHARED,
    "edge-miner": {"radloop-events", "radloop-database"} | SHARED,
    "labeling": {"radloop-events", "radloop-database", "radloop-session"} | SHARED,
    "qa": {"radloop-events", "radloop-database", "draw-key"} | SHARED,
    "trainer": {"radloop-events", "radloop-database"} | SHARED,
    "migrate": {"radloop-events", "radloop-database"} | SHARED,
    "mirror": {"radloop-mirror"},
    "triton": set(),
    "smoke-test": set(),
}
"""All that a pod of the hospital's example may hold."""


def containers_of(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def secrets_of(pod: dict[str, Any]) -> Iterator[str]:
    for volume in pod.get("volumes", []):
        if "secret" in volume:
            yield volume["secret"]["secretName"]
    for container in containers_of(pod):
        assert "envFrom" not in container
        for variable in container.get("env", []):
            if "valueFrom" in variable:
                yield variable["valueFrom"]["secretKeyRef"]["name"]


def test_every_pod_meets_pod_security_restricted(objects) -> None:
    for name, pod, _ in pods_of(objects):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 10001, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for volume in pod.get("volumes", []):
            assert volume.keys() - {"name"} <= VOLUMES, name
        for container in containers_of(pod):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert not any("hostPort" in port for port in container.get("ports", [])), name


def test_no_pod_but_the_trainer_has_a_token(objects) -> None:
    tokens = {name for name, pod, _ in pods_of(objects) if pod["automountServiceAccountToken"]}
    assert tokens <= {"trainer"}
    assert not any(each["automountServiceAccountToken"] for each in objects if each["kind"] == "ServiceAccount")


def test_every_pod_has_a_service_account_of_its_own(objects) -> None:
    accounts = [pod["serviceAccountName"] for _, pod, _ in pods_of(objects)]
    assert len(set(accounts)) == len(accounts)
    assert set(accounts) <= {each["metadata"]["name"] for each in objects if each["kind"] == "ServiceAccount"}


def test_no_pod_hears_of_services_by_its_environment(objects) -> None:
    assert all(pod["enableServiceLinks"] is False for _, pod, _ in pods_of(objects))


def test_every_container_says_what_it_needs(objects) -> None:
    for name, pod, _ in pods_of(objects):
        for container in containers_of(pod):
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert "memory" in container["resources"]["limits"], name


def test_every_pod_that_stays_is_asked_how_it_is_and_has_time_to_end(objects) -> None:
    for name, pod, _ in pods_of(objects):
        if name in WITHOUT_PROBES:
            continue
        (container,) = pod["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys(), name
        if name in BUNDLED:  # their clients wait for them
            continue
        pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        assert pod["terminationGracePeriodSeconds"] >= pause + 15 + 5, name  # radloop.service: HTTP 5 s, threads 10 s


def test_several_replicas_have_a_disruption_budget_and_one_has_none(objects) -> None:
    several = {
        each["metadata"]["name"]
        for each in objects
        if each["kind"] in ("Deployment", "StatefulSet") and each["spec"]["replicas"] > 1
    }
    assert {each["metadata"]["name"] for each in objects if each["kind"] == "PodDisruptionBudget"} == several


def test_the_trainer_may_do_what_it_asks_for_and_no_more(hospital) -> None:
    (role,) = (each for each in hospital if each["kind"] == "Role")
    rules = {(rule["apiGroups"][0], tuple(rule["resources"]), tuple(rule["verbs"])) for rule in role["rules"]}
    assert rules == set(ROLE)
    assert all(
        len(rule["apiGroups"]) == 1 and rule.keys() == {"apiGroups", "resources", "verbs"} for rule in role["rules"]
    )
    (binding,) = (each for each in hospital if each["kind"] == "RoleBinding")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "radloop-trainer", "namespace": "radloop"}]
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "radloop-jobs"
    assert not any(each["kind"].startswith("ClusterRole") for each in hospital)


def test_a_pod_holds_the_secrets_it_needs_and_no_other(hospital) -> None:
    held = {name: set(secrets_of(pod)) for name, pod, _ in pods_of(hospital)}
    assert held == SECRETS


def test_a_bundled_engine_holds_its_own_password_and_is_reached_by_our_pods_only(objects) -> None:
    ours = {"app.kubernetes.io/part-of": "radloop"}
    for name, pod, _ in pods_of(objects):
        if name not in BUNDLED:
            continue
        assert set(secrets_of(pod)) == {BUNDLED[name]}
        policy = named(objects, "NetworkPolicy", name)["spec"]
        assert "egress" not in policy
        (rule,) = policy["ingress"]
        assert rule["ports"] == [{"port": name}]
        assert all(ours.items() <= peer["podSelector"]["matchLabels"].items() for peer in rule["from"])


def test_only_who_is_told_of_a_bundled_engine_reaches_it(objects) -> None:
    there = {name for name, _, _ in pods_of(objects)} & BUNDLED.keys()
    reaching = {
        name: {
            each["metadata"]["name"].partition("-")[2]
            for each in objects
            if each["kind"] == "NetworkPolicy"
            for rule in ways_out([each])
            for peer in rule["to"]
            if peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/name") == name
        }
        for name in there
    }
    services = {name for name, _, _ in pods_of(objects)} & set(SERVICES)
    stores = {"training-job"} | services - {"control-plane"}
    expected = {
        "kafka": services | {"setup"},
        "postgresql": services | {"setup", "migrate"},
        "objects": stores | {"setup"},
    }
    assert reaching == {name: expected[name] for name in there}


def test_of_a_secret_with_a_key_for_each_component_a_container_has_its_own(objects) -> None:
    for _, pod, _ in pods_of(objects):
        for container in pod["containers"]:
            for variable in container.get("env", []):
                reference = variable.get("valueFrom", {}).get("secretKeyRef", {})
                if reference.get("name") in ("radloop-events", "radloop-database"):
                    assert reference["key"] == container["name"]


def test_no_value_is_a_password(objects) -> None:
    assert not any(each["kind"] == "Secret" for each in objects)


def test_the_settings_are_those_that_the_services_know(objects, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, pod, _ in pods_of(objects):
        if name not in SERVICES:
            continue
        (container,) = pod["containers"]
        with monkeypatch.context() as environment:
            for variable in container["env"]:
                value = variable.get("value", base64.b64encode(b"a secret of more than 32 characters").decode())
                if not variable["name"].startswith("AWS_"):
                    environment.setenv(variable["name"], value)
            settings = load(SETTINGS_OF(name))
        assert settings.shared.http_port == 8080
        if name == "trainer":
            assert settings.job_settings().image.startswith(("radloop/training-job:", "registry."))


def selects(policy: dict[str, Any], labels: dict[str, str]) -> bool:
    return policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def ways_out(policies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the egress rules, the name service's left out."""
    rules = [rule for policy in policies for rule in policy["spec"].get("egress", [])]
    return [rule for rule in rules if {port["port"] for port in rule["ports"]} != {53}]


def test_every_pod_is_shut_both_ways_but_for_what_is_opened(objects) -> None:
    policies = [each for each in objects if each["kind"] == "NetworkPolicy"]
    assert all(set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"} for policy in policies)
    for name, _, labels in pods_of(objects):
        assert any(selects(policy, labels) for policy in policies), name
    for policy in policies:
        for rule in [*policy["spec"].get("egress", []), *policy["spec"].get("ingress", [])]:
            assert rule["ports"] and (rule.get("from") or rule.get("to")), policy["metadata"]["name"]


def test_brought_models_reach_nothing_and_jobs_the_object_store_only(hospital) -> None:
    triton = named(hospital, "NetworkPolicy", "triton")
    assert "egress" not in triton["spec"]
    assert triton["spec"]["ingress"][0]["from"] == [
        {
            "podSelector": {
                "matchLabels": {"app.kubernetes.io/name": "inference", "app.kubernetes.io/instance": "radloop"}
            }
        }
    ]
    job = named(hospital, "NetworkPolicy", "training-job")
    assert job["metadata"]["namespace"] == "radloop-jobs"
    assert ways_out([job]) == [
        {"to": [{"ipBlock": {"cidr": "10.1.3.0/24"}}], "ports": [{"port": 443, "protocol": "TCP"}]}
    ]
    assert "ingress" not in job["spec"]


def test_only_the_mirror_leaves_the_site_and_only_to_the_allow_list(hospital) -> None:
    outside = {"ipBlock": {"cidr": "203.0.113.0/28"}}
    leaving = [
        each["metadata"]["name"]
        for each in hospital
        if each["kind"] == "NetworkPolicy" and any(outside in rule["to"] for rule in ways_out([each]))
    ]
    assert leaving == ["radloop-mirror"]
    mirror = named(hospital, "NetworkPolicy", "mirror")
    assert "ingress" not in mirror["spec"]
    assert [rule["to"] for rule in ways_out([mirror])] == [[{"ipBlock": {"cidr": "10.1.1.0/24"}}], [outside]]


def test_only_the_trainer_reaches_the_kubernetes_api(hospital) -> None:
    api = {"ipBlock": {"cidr": "10.1.0.0/28"}}
    reaching = [
        each["metadata"]["name"]
        for each in hospital
        if each["kind"] == "NetworkPolicy" and any(api in rule["to"] for rule in ways_out([each]))
    ]
    assert reaching == ["radloop-trainer"]


def test_a_jobs_pod_is_the_one_that_its_policy_shuts(hospital) -> None:
    labels = job_manifest("r", [], {}, JobSettings(image="i"))["spec"]["template"]["metadata"]["labels"]
    assert selects(named(hospital, "NetworkPolicy", "training-job"), labels)


def test_a_jobs_pod_trusts_the_authority_that_the_services_trust(hospital) -> None:
    (container,) = named(hospital, "Deployment", "trainer")["spec"]["template"]["spec"]["containers"]
    values = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert values["TRAINER_JOB_STORE_CA_SECRET"] == "s3-ca"
    assert values["AWS_CA_BUNDLE"] == "/etc/radloop/objects/ca.crt"
