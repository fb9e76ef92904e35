{{/*
What a pod is allowed, and what every service is told. Each takes a dict: `root`, `name`, `facts` (what the chart knows of
the component) and `own` (what the values say of it).
*/}}

{{/* Pod Security "restricted", no address of other Services in the environment, no token but where it is wanted. */}}
{{- define "radloop.pod" -}}
serviceAccountName: {{ include "radloop.name" . }}
automountServiceAccountToken: {{ (.facts | default dict).token | default false }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Where a pod may run. */}}
{{- define "radloop.placement" -}}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "radloop.selector" $ | nindent 8 }}
  {{- end }}
{{- with .own.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "radloop.container-security" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* A variable from an existing Secret: dict `env`, `secret`, `key`, `optional`. */}}
{{- define "radloop.secret-env" -}}
- name: {{ .env }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end -}}

{{/* The variables of a service. Addresses with passwords come from Secrets, one key for each component. */}}
{{- define "radloop.env" -}}
{{- $values := .root.Values -}}
- name: HOME
  value: /tmp
- name: OMP_NUM_THREADS
  value: "2"
- name: OPENBLAS_NUM_THREADS
  value: "1"
- name: RADLOOP_HTTP_HOST
  value: 0.0.0.0
- name: RADLOOP_HTTP_PORT
  value: "8080"
- name: RADLOOP_WORK_DIR
  value: /work
- name: RADLOOP_LOG_LEVEL
  value: {{ $values.logLevel }}
- name: RADLOOP_SITE
  value: {{ required "site is empty: name this site, e.g. --set site=st-mary; the name is for ever" $values.site | quote }}
{{- with $values.events }}
{{- if .existingSecret }}
{{ include "radloop.secret-env" (dict "env" "RADLOOP_EVENTS_URL" "secret" .existingSecret "key" $.name) }}
{{- else }}
- name: RADLOOP_EVENTS_URL
  value: {{ required "events is empty: set events.existingSecret, or events.url for a Kafka without users" .url | quote }}
{{- end }}
{{- end }}
{{ include "radloop.secret-env" (dict "env" "RADLOOP_DATABASE_URL" "key" .name
  "secret" (required "database.existingSecret is empty: name the Secret with a database URL for each component" $values.database.existingSecret)) }}
{{- with $values.database.poolSize }}
- name: RADLOOP_DATABASE_POOL_SIZE
  value: {{ . | quote }}
{{- end }}
- name: RADLOOP_OBJECTS_URL
{{- if .facts.objects }}
  value: {{ include "radloop.objects-url" .root | quote }}
{{- with $values.objects.existingSecret }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" "AWS_SESSION_TOKEN" }}
{{ include "radloop.secret-env" (dict "env" $key "secret" $values.objects.existingSecret "key" $key "optional" (eq $key "AWS_SESSION_TOKEN")) }}
{{- end }}
{{- end }}
{{- if $values.objects.caSecret }}
- name: AWS_CA_BUNDLE
  value: /etc/radloop/objects/ca.crt
{{- end }}
{{- else }}
  value: file:///work/objects
{{- end }}
- name: RADLOOP_AUTH_URL
{{- if $values.identity.tokenSecret }}
  value: token:/etc/radloop/identity/secret
{{- else }}
  value: {{ required "identity is empty: set identity.url to your OpenID Connect provider, or identity.tokenSecret to try without one" $values.identity.url | quote }}
{{- end }}
{{- with $values.identity.publicUrl }}
- name: RADLOOP_PUBLIC_URL
  value: {{ . }}
{{- end }}
{{- range $name, $value := .facts.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- range .facts.secretEnv }}
{{ include "radloop.secret-env" . }}
{{- end }}
{{- range $name, $value := .own.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* The folders of a service: two it may write to, and certificates. */}}
{{- define "radloop.mounts" -}}
- name: work
  mountPath: /work
- name: tmp
  mountPath: /tmp
{{- range $name := list "events" "database" "objects" }}
{{- if and (get $.root.Values $name | default dict).caSecret (or (ne $name "objects") $.facts.objects) }}
- name: {{ $name }}-ca
  mountPath: /etc/radloop/{{ $name }}
  readOnly: true
{{- end }}
{{- end }}
{{- if .root.Values.identity.tokenSecret }}
- name: identity
  mountPath: /etc/radloop/identity
  readOnly: true
{{- end }}
{{- end -}}

{{- define "radloop.volumes" -}}
- name: work
  emptyDir:
    sizeLimit: {{ .own.workSize | default "1Gi" }}
- name: tmp
  emptyDir:
    sizeLimit: 1Gi
{{- range $name := list "events" "database" "objects" }}
{{- $secret := (get $.root.Values $name | default dict).caSecret }}
{{- if and $secret (or (ne $name "objects") $.facts.objects) }}
- name: {{ $name }}-ca
  secret:
    secretName: {{ $secret }}
    items:
      - key: ca.crt
        path: ca.crt
{{- end }}
{{- end }}
{{- with .root.Values.identity.tokenSecret }}
- name: identity
  secret:
    secretName: {{ . }}
    items:
      - key: secret
        path: secret
{{- end }}
{{- end -}}
