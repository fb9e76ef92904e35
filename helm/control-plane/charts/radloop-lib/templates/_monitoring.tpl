{{/*
What the Prometheus operator is told: where to read, with the job names that docs/operate/alerts.yaml expects, and the alerts;
and what Grafana's sidecar takes up: the dashboard.
*/}}
{{- define "radloop.monitoring" -}}
{{- if .Values.monitoring.serviceMonitor.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {{- include "radloop.metadata" (dict "root" . "name" "services") | nindent 2 }}
  {{- with .Values.monitoring.labels }}
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  selector:
    matchLabels:
      app.kubernetes.io/part-of: radloop
      app.kubernetes.io/instance: {{ .Release.Name }}
  endpoints:
    {{- range $port := list "http" "metrics" }}
    - port: {{ $port }}
      path: /metrics
      interval: {{ $.Values.monitoring.serviceMonitor.interval }}
      relabelings:
        - sourceLabels: [__meta_kubernetes_service_label_app_kubernetes_io_name]
          targetLabel: job
          replacement: radloop-$1
    {{- end }}
{{- end }}
{{- if .Values.monitoring.rules.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {{- include "radloop.metadata" (dict "root" . "name" "alerts") | nindent 2 }}
  {{- with .Values.monitoring.labels }}
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec: {{- .Files.Get "files/alerts.yaml" | fromYaml | toYaml | nindent 2 }}
{{- end }}
{{- with .Values.monitoring.dashboards }}
{{- if .enabled }}
---
apiVersion: v1
kind: ConfigMap
metadata: {{- include "radloop.metadata" (dict "root" $ "name" "dashboard" "namespace" .namespace) | nindent 2 }}
  {{- with .labels }}
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
data:
  radloop-{{ $.Chart.Name }}.json: |-
    {{ $.Files.Get "files/dashboard.json" | fromJson | toRawJson }}
{{- end }}
{{- end }}
{{- end -}}

{{/* How browsers and programs come in: one HTTPRoute of the Gateway API, a path for each service. Dict `root`, `names`. */}}
{{- define "radloop.route" -}}
{{- with .root.Values.route }}
{{- if .enabled }}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{- include "radloop.metadata" (dict "root" $.root "name" "services") | nindent 2 }}
spec:
  parentRefs: {{- toYaml .parentRefs | nindent 4 }}
  {{- with .hostnames }}
  hostnames: {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    {{- range $name := $.names }}
    {{- if (get $.root.Values.components $name).enabled }}
    - matches:
        - path:
            type: PathPrefix
            value: /{{ $name }}
      filters:
        - type: URLRewrite
          urlRewrite:
            path:
              type: ReplacePrefixMatch
              replacePrefixMatch: /
      backendRefs:
        - name: {{ include "radloop.name" (dict "root" $.root "name" $name) }}
          port: 8080
    {{- end }}
    {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* `helm test`: asks every service whether it is ready, from a pod of its own. Dict `root`, `names`, `image` (whose Python asks). */}}
{{- define "radloop.smoke-test" -}}
{{- $name := dict "root" .root "name" "smoke-test" }}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{- include "radloop.metadata" $name | nindent 2 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-weight: "-10"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
automountServiceAccountToken: false
---
apiVersion: v1
kind: Pod
metadata: {{- include "radloop.metadata" $name | nindent 2 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  {{- include "radloop.pod" $name | nindent 2 }}
  restartPolicy: Never
  activeDeadlineSeconds: 300
  containers:
    - name: ask
      image: {{ include "radloop.image" (dict "root" .root "name" .image) }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command:
        - python
        - -c
        - |
          import sys, time, urllib.error, urllib.request

          left = dict.fromkeys(sys.argv[1:], "no answer")
          until = time.monotonic() + 120
          while left and time.monotonic() < until:
              for name in list(left):
                  try:
                      urllib.request.urlopen(f"http://{name}:8080/readyz", timeout=5)
                      print(name, "is ready", flush=True)
                      del left[name]
                  except urllib.error.HTTPError as error:
                      left[name] = error.read().decode()
                  except OSError as error:
                      left[name] = str(error)
              time.sleep(1)
          sys.exit("\n".join(f"{name} is not ready: {why}" for name, why in left.items()) or 0)
        {{- range .names }}
        {{- if (get $.root.Values.components .).enabled }}
        - {{ include "radloop.name" (dict "root" $.root "name" .) }}
        {{- end }}
        {{- end }}
      resources:
        requests: {cpu: 20m, memory: 32Mi}
        limits: {memory: 128Mi}
      {{- include "radloop.container-security" $name | nindent 6 }}
{{- if .root.Values.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{- include "radloop.metadata" $name | nindent 2 }}
spec:
  podSelector:
    matchLabels: {{- include "radloop.selector" $name | nindent 6 }}
  policyTypes: [Ingress, Egress]
  egress:
    {{- include "radloop.egress" (dict "root" .root "reaches" list) | nindent 4 }}
    - to:
        - podSelector:
            matchLabels:
              app.kubernetes.io/part-of: radloop
              app.kubernetes.io/instance: {{ .root.Release.Name }}
      ports:
        - port: http
{{- end }}
{{- end -}}
