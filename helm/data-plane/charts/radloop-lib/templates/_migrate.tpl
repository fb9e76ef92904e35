{{/*
The databases are brought up to date before any service of the new release starts: one Job, a container for each service.
Takes a dict: `root` and `components` (facts by name).

It runs before the release's own objects exist, so it has a service account that is a hook, too. A PostgreSQL that is bundled
is not there before the first installation: the services bring their databases up to date themselves then, as they always do.
*/}}
{{- define "radloop.migrate" -}}
{{- $hook := .root.Values.bundled.postgresql.enabled | ternary "pre-upgrade" "pre-install,pre-upgrade" }}
{{- $name := dict "root" .root "name" "migrate" }}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{- include "radloop.metadata" $name | nindent 2 }}
  annotations:
    helm.sh/hook: {{ $hook }}
    helm.sh/hook-weight: "-10"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
automountServiceAccountToken: false
---
apiVersion: batch/v1
kind: Job
metadata: {{- include "radloop.metadata" $name | nindent 2 }}
  annotations:
    helm.sh/hook: {{ $hook }}
    helm.sh/hook-weight: "0"
    # One that failed stays with its pod, to be read.
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  backoffLimit: 0
  podFailurePolicy:
    rules:
      # A pod that was evicted is made again.
      - action: Ignore
        onPodConditions:
          - type: DisruptionTarget
            status: "True"
  activeDeadlineSeconds: {{ .root.Values.migrate.deadlineSeconds }}
  template:
    metadata:
      labels: {{- include "radloop.labels" $name | nindent 8 }}
    spec:
      {{- include "radloop.pod" $name | nindent 6 }}
      restartPolicy: Never
      containers:
        {{- range $component, $facts := .components }}
        {{- $own := get $.root.Values.components $component }}
        {{- if $own.enabled }}
        {{- $scope := dict "root" $.root "name" $component "facts" (dict "objects" $facts.objects) "own" dict }}
        - name: {{ $component }}
          image: {{ include "radloop.image" $scope }}
          imagePullPolicy: {{ $.root.Values.image.pullPolicy }}
          args: [migrate, --wait, {{ $.root.Values.migrate.waitSeconds | quote }}]
          # What it ended with is in the pod's status, too.
          terminationMessagePolicy: FallbackToLogsOnError
          env: {{- include "radloop.env" $scope | nindent 12 }}
          resources: {{- toYaml $.root.Values.migrate.resources | nindent 12 }}
          {{- include "radloop.container-security" $scope | nindent 10 }}
          volumeMounts: {{- include "radloop.mounts" $scope | nindent 12 }}
        {{- end }}
        {{- end }}
      volumes: {{- include "radloop.volumes" (dict "root" .root "facts" (dict "objects" true) "own" dict) | nindent 8 }}
{{- if .root.Values.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{- include "radloop.metadata" $name | nindent 2 }}
  # As the Job: where the database is now, not where the last release had it.
  annotations:
    helm.sh/hook: {{ $hook }}
    helm.sh/hook-weight: "-10"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  podSelector:
    matchLabels: {{- include "radloop.selector" $name | nindent 6 }}
  policyTypes: [Ingress, Egress]
  egress:
    {{- include "radloop.egress" (dict "root" .root "reaches" (list "database")) | nindent 4 }}
{{- end }}
{{- end -}}
