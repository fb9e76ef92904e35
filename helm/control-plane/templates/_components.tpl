{{/* What the chart knows of its services; see "radloop.component". */}}
{{- define "control-plane.components" -}}
control-plane:
  reaches: [events, database, identity]
{{- end -}}
