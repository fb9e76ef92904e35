{{/*
Who may speak to whom. Nothing is open that is not written here: "radloop.default-deny" shuts every pod of this release,
and the other policies open single ways.
*/}}

{{- define "radloop.default-deny" -}}
{{- if .Values.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{- include "radloop.metadata" (dict "root" . "name" "default-deny") | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      app.kubernetes.io/part-of: radloop
      app.kubernetes.io/instance: {{ .Release.Name }}
  policyTypes: [Ingress, Egress]
{{- end }}
{{- end -}}

{{/* Ways out of a pod: dict `root` and `reaches`, keys of networkPolicy.to. The name service is always among them; an identity
provider is not, where there is none. An engine that is bundled stands in for what the values say. */}}
{{- define "radloop.egress" -}}
- to: {{- toYaml .root.Values.networkPolicy.dns.peers | nindent 4 }}
  ports:
    {{- range .root.Values.networkPolicy.dns.ports }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- range $key := .reaches }}
{{- $bundled := include "radloop.bundled-engine" (dict "root" $.root "key" $key) | fromYaml }}
{{- if $bundled }}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ $.root.Release.Namespace }}
      podSelector:
        matchLabels: {{- include "radloop.selector" (dict "root" $.root "name" $bundled.name) | nindent 10 }}
  ports:
    - port: {{ $bundled.port }}
      protocol: TCP
{{- else if not (and (eq $key "identity") $.root.Values.identity.tokenSecret) }}
{{- with get $.root.Values.networkPolicy.to $key }}
{{- if not .peers }}
{{- fail (printf "networkPolicy.to.%s.peers is empty: say where it is, e.g. [{ipBlock: {cidr: 10.1.2.0/24}}], or set networkPolicy.enabled=false" $key) }}
{{- end }}
- to: {{- toYaml .peers | nindent 4 }}
  ports:
    {{- range .ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "radloop.network-policy" -}}
{{- $network := .root.Values.networkPolicy -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{- include "radloop.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels: {{- include "radloop.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        # The release's own smoke test, then who passes browsers on, then who reads metrics.
        - podSelector:
            matchLabels: {{- include "radloop.selector" (dict "root" .root "name" "smoke-test") | nindent 14 }}
        {{- with concat $network.from.gateway $network.from.monitoring }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - port: http
    {{- range .facts.ingress }}
    - from: {{- toYaml .from | nindent 8 }}
      ports:
        - port: {{ .port }}
    {{- end }}
  egress:
    {{- include "radloop.egress" (dict "root" .root "reaches" .facts.reaches) | nindent 4 }}
    {{- range .facts.egress }}
    - to:
        - podSelector:
            matchLabels: {{- include "radloop.selector" (dict "root" $.root "name" .to) | nindent 14 }}
      ports:
        - port: {{ .port }}
          protocol: TCP
    {{- end }}
{{- end -}}
