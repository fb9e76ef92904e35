{{/*
Names, labels, images. Each takes a dict: `root` (the chart's whole scope) and `name` (of the component).
*/}}

{{- define "radloop.name" -}}
{{- printf "%s-%s" .root.Release.Name .name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "radloop.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{- define "radloop.labels" -}}
{{ include "radloop.selector" . }}
app.kubernetes.io/part-of: radloop
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "radloop.metadata" -}}
name: {{ include "radloop.name" . }}
namespace: {{ .namespace | default .root.Release.Namespace }}
labels: {{- include "radloop.labels" . | nindent 2 }}
{{- end -}}

{{/* registry/repository/name:tag@digest; the registry and the digest only where they are given. */}}
{{- define "radloop.image" -}}
{{- $image := .root.Values.image -}}
{{- $path := printf "%s/%s:%s" $image.repository .name ($image.tag | default .root.Chart.AppVersion) -}}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $path }}{{ with get $image.digests .name }}@{{ . }}{{ end }}
{{- end -}}

{{/* An image that is not ours, of `own.image`; the registry of all images stands in front of it, too. */}}
{{- define "radloop.foreign-image" -}}
{{- with .root.Values.image.registry }}{{ . }}/{{ end }}{{ .own.image.repository }}:{{ .own.image.tag }}{{ with .own.image.digest }}@{{ . }}{{ end }}
{{- end -}}
