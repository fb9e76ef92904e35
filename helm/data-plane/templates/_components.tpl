{{/* What the chart knows of its services; see "radloop.component". Each reaches what stands here and nothing else. */}}
{{- define "data-plane.components" -}}
{{- $release := .Release.Name -}}
ingest:
  objects: true
  reaches: [events, database, objects, identity{{ if or .Values.dicom.archivesSecret .Values.dicom.destinationsSecret }}, archives{{ end }}]
  # One volume holds the site key, and only one node may have it, unless the values say otherwise.
  recreate: {{ ne .Values.siteKey.accessMode "ReadWriteMany" }}
  ports:
    - {name: dicom, port: 11112}
  ingress:
    {{- with .Values.networkPolicy.from.dicom }}
    - port: dicom
      from: {{- toYaml . | nindent 8 }}
    {{- end }}
  env:
    INGEST_DICOM_HOST: 0.0.0.0
    INGEST_AE_TITLE: {{ .Values.dicom.aeTitle }}
    INGEST_SITE_KEY_FILE: /site-key/key
    INGEST_TIME_ZONE: {{ .Values.dicom.timeZone }}
    INGEST_RELEASE_PERSONS: {{ .Values.privacy.releasePersons | quote }}
    {{- range $file := include "data-plane.ingest-files" . | fromYamlArray }}
    INGEST_{{ $file.name | upper }}_FILE: /{{ $file.name }}/{{ $file.name }}.json
    {{- end }}
  mounts:
    - {name: site-key, mountPath: /site-key}
    {{- range $file := include "data-plane.ingest-files" . | fromYamlArray }}
    - {name: {{ $file.name }}, mountPath: /{{ $file.name }}, readOnly: true}
    {{- end }}
  volumes:
    - name: site-key
      persistentVolumeClaim:
        claimName: {{ .Values.siteKey.existingClaim | default (printf "%s-site-key" $release) }}
    {{- with .Values.siteKey.existingSecret }}
    - name: site-key-secret
      secret:
        secretName: {{ . }}
        items:
          - {key: key, path: key}
    {{- end }}
    {{- range $file := include "data-plane.ingest-files" . | fromYamlArray }}
    - name: {{ $file.name }}
      {{- if $file.secret }}
      secret:
        secretName: {{ $file.secret }}
        defaultMode: 0440
      {{- else }}
      configMap:
        name: {{ $file.configMap }}
      {{- end }}
    {{- end }}
  initContainers:
    - {{- include "data-plane.site-key" . | nindent 6 }}
inference:
  objects: true
  reaches: [events, database, objects, identity{{ if not .Values.triton.enabled }}, triton{{ end }}]
  {{- if .Values.triton.enabled }}
  egress:
    - {to: triton, port: 8001}
  {{- end }}
  env:
    RADLOOP_TRITON_URL: {{ if .Values.triton.enabled }}{{ $release }}-triton:8001{{ else }}{{ required "triton.url is empty: name your own Triton's gRPC endpoint, host:port, or set triton.enabled=true" .Values.triton.url }}{{ end }}
edge-miner:
  objects: true
  reaches: [events, database, objects, identity]
labeling:
  objects: true
  sticky: true
  reaches: [events, database, objects, identity]
  {{- with .Values.identity.existingSecret }}
  secretEnv:
    - {env: RADLOOP_SESSION_SECRET, secret: {{ . }}, key: session-secret, optional: false}
    - {env: RADLOOP_CLIENT_SECRET, secret: {{ . }}, key: client-secret, optional: true}
  {{- end }}
qa:
  objects: true
  reaches: [events, database, objects, identity]
  {{- with .Values.drawKey.existingSecret }}
  secretEnv:
    - {env: QA_DRAW_KEY, secret: {{ . }}, key: key, optional: false}
  {{- end }}
trainer:
  objects: true
  token: true
  reaches: [events, database, objects, identity, kubernetesApi]
  env: {{- include "data-plane.job-settings" . | nindent 4 }}
{{- end -}}

{{/* The JSON files ingest reads where the values name them: each a folder of its own, for a Secret holds tokens, too. */}}
{{- define "data-plane.ingest-files" -}}
{{- with .Values.dicom.archivesSecret }}
- {name: archives, secret: {{ . }}}
{{- end }}
{{- with .Values.dicom.destinationsSecret }}
- {name: destinations, secret: {{ . }}}
{{- end }}
{{- with .Values.privacy.profileConfigMap }}
- {name: profile, configMap: {{ . }}}
{{- end }}
{{- with .Values.privacy.retentionConfigMap }}
- {name: retention, configMap: {{ . }}}
{{- end }}
{{- end -}}

{{/*
Ingest wants its key readable by its own user alone; a volume's files may be opened to the pod's group when it is mounted. A
key from a Secret is taken once, when the volume has none: from then on it is changed by `radloop keys` only.
*/}}
{{- define "data-plane.site-key" -}}
name: site-key
image: {{ include "radloop.image" (dict "root" . "name" "ingest") }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command:
  - python
  - -c
  - |
    from pathlib import Path

    key, given = Path("/site-key/key"), Path("/site-key-secret/key")
    if given.exists() and not key.exists():
        unfinished = key.with_name("unfinished")
        unfinished.write_bytes(given.read_bytes())
        unfinished.rename(key)
    if key.exists():
        key.chmod(0o600)
resources:
  requests: {cpu: 10m, memory: 32Mi}
  limits: {memory: 64Mi}
{{ include "radloop.container-security" . }}
volumeMounts:
  - {name: site-key, mountPath: /site-key}
  {{- if .Values.siteKey.existingSecret }}
  - {name: site-key-secret, mountPath: /site-key-secret, readOnly: true}
  {{- end }}
{{- end -}}

{{- define "data-plane.jobs-namespace" -}}
{{- .Values.jobs.namespace | default .Release.Namespace -}}
{{- end -}}

{{- define "data-plane.job-settings" -}}
{{- with .Values.jobs -}}
RADLOOP_JOBS_URL: "kubernetes:"
TRAINER_MAX_JOBS: {{ .atOnce | quote }}
TRAINER_PROCESSES: {{ .processes | quote }}
TRAINER_BATCH_SIZE: {{ .batchSize | quote }}
TRAINER_JOB_IMAGE: {{ include "radloop.image" (dict "root" $ "name" "training-job") }}
TRAINER_JOB_NAMESPACE: {{ include "data-plane.jobs-namespace" $ }}
TRAINER_JOB_SERVICE_ACCOUNT: {{ include "radloop.name" (dict "root" $ "name" "training-job") }}
TRAINER_JOB_STORE_SECRET: {{ .storeSecret | default $.Values.objects.existingSecret | quote }}
TRAINER_JOB_STORE_CA_SECRET: {{ .storeCaSecret | default $.Values.objects.caSecret | quote }}
TRAINER_JOB_GPU_RESOURCE: {{ .gpuResource | quote }}
TRAINER_JOB_CPU: {{ .cpu | quote }}
TRAINER_JOB_MEMORY: {{ .memory | quote }}
TRAINER_JOB_SHARED_MEMORY: {{ .sharedMemory | quote }}
TRAINER_JOB_SCRATCH: {{ .scratch | quote }}
TRAINER_JOB_DEADLINE_S: {{ int .deadlineSeconds | quote }}
TRAINER_JOB_TIME_TO_LIVE_S: {{ int .timeToLiveSeconds | quote }}
TRAINER_JOB_BACKOFF_LIMIT: {{ .backoffLimit | quote }}
TRAINER_JOB_GRACE_S: {{ .graceSeconds | quote }}
TRAINER_JOB_QUEUE: {{ .queue.name | quote }}
TRAINER_JOB_PRIORITY_CLASS: {{ .priorityClassName | quote }}
TRAINER_JOB_RUNTIME_CLASS: {{ .runtimeClassName | quote }}
TRAINER_JOB_NODE_SELECTOR: {{ .nodeSelector | toJson | quote }}
TRAINER_JOB_TOLERATIONS: {{ .tolerations | toJson | quote }}
TRAINER_JOB_PULL_SECRETS: {{ $.Values.image.pullSecrets | toJson | quote }}
{{- end }}
{{- end -}}
